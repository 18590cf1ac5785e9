"""File headers and metadata of capture formats. Never a loop over frames: that is the core's."""
