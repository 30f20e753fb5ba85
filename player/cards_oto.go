//go:build darwin || windows

package player

// system is one for the process, as its library demands.
var system otoCard

// cards are the ways to a sound card on this platform.
func cards() []cardDriver { return []cardDriver{{"system", system.open, system.list}} }
