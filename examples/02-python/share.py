# SPDX-License-Identifier: Apache-2.0
"""Take a share, then start CUDA: the program sees the share as if it were the whole GPU."""

import ctypes

import gpushare

GIB = 1 << 30


def total_memory() -> int:
    """What the CUDA driver says the first GPU has; starts CUDA."""
    driver = ctypes.CDLL("libcuda.so.1")
    device, total = ctypes.c_int(), ctypes.c_size_t()
    assert driver.cuInit(0) == 0
    assert driver.cuDeviceGet(ctypes.byref(device), 0) == 0
    assert driver.cuDeviceTotalMem_v2(ctypes.byref(total), device) == 0
    return total.value


if __name__ == "__main__":
    with gpushare.share(memory="2GiB", compute=50, name="from-python"):
        print(f"this program sees {total_memory() / GIB:.1f} GiB of GPU memory")
