"""What is known of a custom network before it is made."""

from collections.abc import Callable

from torch import nn

from ._encoder import Encoder, answers_of, class_made_by, is_plain, says_plain

#: A custom encoder or decoder: a module, of which a copy is trained, or what makes one.
Maker = nn.Module | Callable[[int, int], nn.Module]


def starts_from_data(maker: Maker | None) -> bool:
    """Whether new encoders after the parameter `encoder` start from the data, which are centered
    for them. A module that is given stays as it is.
    """
    return maker is None or class_made_by(maker).starts_from_data


def reads_sparse(maker: Maker | None) -> bool:
    """Whether new encoders after the parameter `encoder` read sparse rows as they are."""
    if isinstance(maker, nn.Module):
        return answers_of(maker).reads_sparse
    return maker is None or class_made_by(maker).reads_sparse


def is_plain_maker(maker: Maker | None) -> bool:
    """Whether making a network after a parameter, and training it, runs no code that may draw or
    wait as it likes.
    """
    if isinstance(maker, nn.Module):
        return isinstance(maker, Encoder) and is_plain(maker)
    return maker is None or says_plain(class_made_by(maker))
