package ogg

// Renew renews a page's checksum.
func Renew(b []byte) { seal(b) }
