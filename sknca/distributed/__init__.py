"""Several processes, each with a part of the samples, that train one network together.

Each process calls the same functions with its own part. The loss of a batch compares each sample
with those of all processes, exactly as one process with all of them would. The engine is
`torch.distributed`: gloo on CPUs, NCCL on GPUs.
"""

from ._gather import Shares as Shares
from ._gather import gather
from ._gather import gather_rows as gather_rows
from ._joint_loss import Part as Part
from ._joint_loss import soft_nearest_neighbor_loss
from ._processes import Alone as Alone
from ._processes import Processes as Processes
from ._ranks import Ranks as Ranks
from ._ranks import processes_of_fit as processes_of_fit
from ._together import part_of, together

__all__ = ["gather", "part_of", "soft_nearest_neighbor_loss", "together"]
