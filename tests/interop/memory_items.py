"""What the lists of the shared-memory tests hold; read by both ends, so it imports nothing."""

ITEMS = ["howdy", b"HoWdY", -273.154, 100, None, True, 42, "x" * 20, "", b"y" * 17]
OTHERS = ["HOWDY", b"hOwDy", 1e300, -(2**63), 5, False, None, "z" * 24, b"abc", "text"]
