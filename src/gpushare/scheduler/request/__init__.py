# SPDX-License-Identifier: Apache-2.0
"""What is asked for: requests, and which mechanisms and GPUs could serve them."""
