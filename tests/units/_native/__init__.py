"""The face of the native core: the codec, framing, and every type, with real processes."""
