"""
Where do classes come apart?
============================

The entanglement of a layer is the soft nearest neighbour loss of its activations: low where
each row's neighbours share its class. Frosst et al. (2019) looked at it layer by layer, and
added it, with a negative weight, to the cross-entropy: a classifier whose hidden layers mix
the classes, so that only the last one parts them.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding
from sknca.plotting import EntanglementDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, stratify=y, train_size=1200, random_state=0
)

# %%
# Three classifiers with three hidden layers each, alike but for the weight of the soft nearest
# neighbour losses of these layers. What is drawn is the entanglement of rows held out.
weights = {"entangled": -0.5, "cross-entropy alone": 0.0, "disentangled": 0.5}
ax = None  # the first display makes axes, the others draw on them
for name, weight in weights.items():
    embedding = SNNLEmbedding(
        10,
        hidden_layer_sizes=(256, 256, 256),
        metric="cosine",
        temperature=0.3,
        layers=["hidden.0", "hidden.1", "hidden.2"],
        primary_loss="classification",
        snnl_weight=weight,
        max_iter=30,
        random_state=0,
    ).fit(X_train, y_train)
    display = EntanglementDisplay.from_estimator(
        embedding, X_test, y_test, temperature=0.3, name=f"{name} (weight {weight:g})", ax=ax
    )
    ax = display.ax_
    knn = KNeighborsClassifier().fit(embedding.transform(X_train), y_train)
    accuracy = knn.score(embedding.transform(X_test), y_test)
    layers = {layer: round(value, 2) for layer, value in display.entanglement.items()}
    print(f"{name}: {layers}, accuracy of 5-NN on the code {accuracy:.1%}")
ax.set_title("held-out digits")
plt.show()

# %%
# Cross-entropy alone brings classes together step by step. Where it is rewarded, they are
# together in the first hidden layers already; where it is punished, they are more mixed in every
# hidden layer than in the pixels, and only the last layer parts them, which costs the
# classifier on the code some accuracy.
