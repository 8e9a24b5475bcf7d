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

from sknca import SNNLEmbedding

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, stratify=y, train_size=1200, random_state=0
)

# %%
# Three classifiers with two hidden layers each, alike but for the weight of the soft nearest
# neighbour losses of these layers. ``warm_start`` trains on, some epochs at a time, so that
# held-out rows can be looked at in between.
weights = {"entangled": -0.5, "cross-entropy alone": 0.0, "disentangled": 0.5}
epochs_at_a_time, times = 4, 8
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
for (title, weight), ax in zip(weights.items(), axes, strict=True):
    embedding = SNNLEmbedding(
        10,
        hidden_layer_sizes=(256, 256),
        metric="cosine",
        temperature=0.3,
        layers=["hidden.0", "hidden.1"],
        primary_loss="classification",
        snnl_weight=weight,
        max_iter=epochs_at_a_time,
        warm_start=True,
        random_state=0,
    )
    epochs, entanglement = [], []
    for time in range(1, times + 1):
        embedding.fit(X_train, y_train)
        epochs.append(time * epochs_at_a_time)
        entanglement.append(embedding.layer_entanglement(X_test, y_test, temperature=0.3))
    for layer in entanglement[0]:
        ax.plot(epochs, [record[layer] for record in entanglement], marker=".", label=layer)
    ax.set(title=f"{title}\n(weight {weight:g})", xlabel="epoch")
    print(title, {layer: round(value, 3) for layer, value in entanglement[-1].items()})
axes[0].set_ylabel("entanglement of test rows")
axes[0].legend(title="layer")
plt.show()
