"""A fit: from a plan and checked samples to what was found. It does not depend on estimators."""

from ._checkpoint import Checkpoint as Checkpoint
from ._description import Description as Description
from ._description import describe_parameters as describe_parameters
from ._fit import fit as fit
from ._found import Earlier as Earlier
from ._found import Fitted as Fitted
from ._joint import check_alike as check_alike
from ._new_networks import make_custom as make_custom
from ._new_networks import width_of_output as width_of_output
from ._objective_plans import DecoderPlan as DecoderPlan
from ._objective_plans import SNNLPlan as SNNLPlan
from ._objective_plans import TripletPlan as TripletPlan
from ._plan import EncoderPlan as EncoderPlan
from ._plan import ObjectivePlan as ObjectivePlan
from ._plan import Plan as Plan
from ._portion import learn_portion as learn_portion
from ._stream import Stream as Stream
