"""The module of this name in `multiprocessing`, for programs that import it: it stands among what children need."""

import sys

from procession._children import popen_spawn

sys.modules[__name__] = popen_spawn
