# Takes memory until it is killed.
# ends: killed
held = []
while True:
    held.append(bytearray(8 << 20))
