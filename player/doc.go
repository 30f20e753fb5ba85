// Package player is the journey in: what a lease unlocks is decrypted in
// memory, decoded ahead, joined at the exact sample and handed to a sink.
//
// What comes in: catalogues that follow has verified, keys that lease has
// opened, blocks by deadline, and sets on air as whoever carries them brings
// them. What goes out: samples, to a sink, and
// events that say what was heard. What is trusted: the lease's keys. Sealed
// bytes and what is inside them are hostile until they have been opened and
// decoded: a crafted track can at worst lose itself.
//
// Previews are the one thing that is played without a lease: a stranger's small
// files, of which only Opus and FLAC are looked at.
//
// The way of a sample: queue (which track) → file (its sealed bytes, block by
// block) → deck (decrypted and decoded ahead) → mix (one rate, two channels,
// its loudness, crossfades) → ring → transport (volume, pause, cuts) → sink.
// A set on air comes in by a reception (opened by the lease, kept until there is
// enough) and is decoded as a deck's live; from there on it is a track like any.
// Who asks for nothing by name is given what a schedule says (hours).
// A Playback conducts it: what is before the ring may be late, what is behind
// it waits for nothing but the sink.
package player
