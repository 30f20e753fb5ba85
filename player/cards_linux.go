//go:build linux && (amd64 || arm64 || arm || 386 || riscv64 || loong64)

package player

// cards are the ways to a sound card on this platform, the first that works
// first: a sound server shares the card with others, libasound has it alone.
func cards() []cardDriver {
	return []cardDriver{{"pulse", openPulse, listPulse}, {"alsa", openALSA, listALSA}}
}
