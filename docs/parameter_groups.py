"""The parameters of the embeddings by purpose, for the tables on their pages of the reference."""

import inspect

import sknca

_GROUPS = {
    "Codes and network": [
        "n_components", "hidden_layer_sizes", "activation", "dropout", "encoder", "n_members",
        "scale",
    ],
    "Loss": ["metric", "temperature", "temperature_schedule", "q", "margin", "mining"],
    "Hidden layers and additional losses": [
        "layers", "code_units", "primary_loss", "snnl_weight", "decoder",
    ],
    "Classes and missing labels": ["class_weight", "unlabeled", "spread_labels"],
    "Training": [
        "max_iter", "batch_size", "learning_rate_init", "weight_decay", "adversarial_radius",
        "adversarial_fraction",
    ],
    "Stopping and validation": ["early_stopping", "validation_fraction", "tol", "n_iter_no_change"],
    "Running": ["device", "random_state", "verbose", "warm_start"],
}  # fmt: skip


def parameter_groups():
    """By full name of a class, its groups; every parameter must be in one."""
    return {f"sknca.{cls.__name__}": _of_class(cls) for cls in _CLASSES}


_CLASSES = (sknca.SNNLEmbedding, sknca.TripletEmbedding)


def _of_class(cls):
    parameters = list(inspect.signature(cls).parameters)
    groups = {
        group: [name for name in names if name in parameters] for group, names in _GROUPS.items()
    }
    listed = [name for names in groups.values() for name in names]
    if sorted(listed) != sorted(parameters):
        raise ValueError(f"{cls.__name__}: {set(parameters) ^ set(listed)} in no group, or twice")
    return {group: names for group, names in groups.items() if names}


def anchor(class_name, parameter):
    """The id of a parameter on the page of its class, as others are: its full name."""
    return f"{class_name}.{parameter}"


def give_parameters_ids(app, doctree):
    """Lets the tables, and other pages, link to a parameter of a class."""
    from docutils import nodes  # not installed for the tests, which read the groups
    from sphinx import addnodes

    for described in doctree.findall(addnodes.desc):
        if described.get("objtype") != "class":
            continue
        (full_name,) = described[0]["ids"]
        for field in described[1].findall(nodes.field):
            if field[0].astext() == "Parameters" and field.parent.parent is described[1]:
                for term in field[1].findall(nodes.term):
                    for name in term[0].astext().split(", "):
                        term["ids"].append(anchor(full_name, name))
