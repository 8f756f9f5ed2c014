# SPDX-License-Identifier: Apache-2.0
"""What operators ask of the daemon about itself and its machine."""
