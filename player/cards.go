package player

// cards are the ways to a sound card on this platform.
var cards []cardDriver
