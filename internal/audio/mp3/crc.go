package mp3

// checksumFits checks the CRC of 2.4.3.1: x^16 + x^15 + x^2 + 1, from all ones, over the header's last two
// bytes and the side information (annex B.1, table B.5 for Layer III). frame holds these.
func checksumFits(h Header, frame []byte) bool {
	crc := checksum(0xffff, frame[2:HeaderSize])
	crc = checksum(crc, frame[h.sideStart():h.sideStart()+h.sideSize()])
	return crc == uint16(frame[4])<<8|uint16(frame[5])
}

func checksum(crc uint16, b []byte) uint16 {
	for _, v := range b {
		crc ^= uint16(v) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x8005
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// checksum goes on with the bits from up to to.
func (m *mainData) checksum(crc uint16, from, to int) uint16 {
	for ; from < to; from++ {
		bit := uint16(m.bits(from, 1))
		if crc>>15 != bit {
			crc = crc<<1 ^ 0x8005
		} else {
			crc <<= 1
		}
	}
	return crc
}
