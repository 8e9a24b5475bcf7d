"""
In which layer are the classes separated?
=========================================

The entanglement of a layer is the soft nearest neighbor loss of its activations. It is low if the
neighbors of each sample share its class. Frosst et al. (2019) measured it layer by layer, and added
it to the cross-entropy with a negative weight. The result is a classifier whose hidden layers mix
the classes, so that only the last layer separates them.
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
# Three classifiers with three hidden layers each differ only in the weight of the soft nearest
# neighbor losses of these layers. The plot shows the entanglement of held-out samples.
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
# With cross-entropy alone, each layer separates the classes a little more. With a positive
# weight, the classes are separated in the first hidden layers already. With a negative weight,
# they are more mixed in every hidden layer than in the pixels. Only the last layer separates
# them, and the classifier on the code loses some accuracy.
