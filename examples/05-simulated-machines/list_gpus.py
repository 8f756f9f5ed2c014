# SPDX-License-Identifier: Apache-2.0
"""List GPUs with nvidia-ml-py, as any monitoring tool does."""

import pynvml

GIB = 1 << 30

pynvml.nvmlInit()
for index in range(pynvml.nvmlDeviceGetCount()):
    gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu).total / GIB
    print(f"{index}  {pynvml.nvmlDeviceGetName(gpu)}  {memory:.0f} GiB")
