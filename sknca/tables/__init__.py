"""From what users give to checked samples: dense, mapped from a file, or sparse, as one `Table`."""

from ._dense import DenseTable as DenseTable
from ._dense import is_read_in_place as is_read_in_place
from ._features import ROWS_TO_START_FROM as ROWS_TO_START_FROM
from ._features import center_and_spread as center_and_spread
from ._features import common_unit as common_unit
from ._features import spread_of_entries as spread_of_entries
from ._frames import explained as explained
from ._frames import naming_columns as naming_columns
from ._mapped import MappedTable as MappedTable
from ._mapped import is_mapped as is_mapped
from ._sparse import SparseTable as SparseTable
from ._sparse import check_format as check_format
from ._table import Table as Table
from ._tensors import FLOATS as FLOATS
from ._tensors import assert_all_finite as assert_all_finite
from ._tensors import home_of_rows as home_of_rows
from ._tensors import to_tensor as to_tensor
from ._validation import one_column as one_column
from ._validation import read_groups as read_groups
from ._validation import read_table as read_table
from ._validation import read_validation_table as read_validation_table
from ._validation import read_weight as read_weight
from ._validation import relative_weight as relative_weight
from ._validation import validate_data as validate_data
from ._validation import warn_if_unlike as warn_if_unlike
