# Takes memory until it is killed.
# ends: killed
# gvisor: the whole machine ends
held = []
while True:
    held.append(bytearray(8 << 20))
