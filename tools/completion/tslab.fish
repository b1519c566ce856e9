# SPDX-License-Identifier: MIT
# fish loads this at the first completion; the tool itself knows its options.
tslab completion fish | source
