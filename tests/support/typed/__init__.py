# SPDX-License-Identifier: Apache-2.0
"""Types the commands of a documentation page into a terminal and compares what they print.

pages      reads a page: its commands, what it shows of their output, the files it has readers write
terminal   bash on a terminal of its own
session    a shell as the page presumes it, and one command in it
compare    which differences between the page and the output do not count
"""
