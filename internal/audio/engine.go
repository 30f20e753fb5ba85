package audio

import (
	"playnode/internal/audio/gomp3"
	"playnode/internal/audio/mp3"
)

// DefaultEngine makes the Layer III decoder that is used unless Options says otherwise.
func DefaultEngine() Engine { return OwnMP3() }

// GoMP3 makes the stock decoder, contained: for comparison, and for a day when the own one is found
// wrong. What it is known to get wrong itself, its package says.
func GoMP3() Engine { return new(gomp3.Decoder) }

// OwnMP3 makes the decoder of audio/mp3.
func OwnMP3() Engine { return new(mp3.Decoder) }
