package player

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"playnode/internal/audio"
	"playnode/internal/audio/flac"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/unixfs"
)

// clip stores a preview's bytes and names them.
func (w *world) clip(data []byte, codec string) item {
	b := manifests.NewRawBlock(data)
	if err := w.Put(w.t.Context(), node.Block(b)); err != nil {
		w.t.Fatal(err)
	}
	return item{entry: &manifests.Entry{}, clip: &preview{clip: manifests.Clip{File: b.CID, Size: uint64(len(data)), Codec: codec}}}
}

// A preview is a stranger's file: what it is not, no decoder and no program is
// asked about, and of one that goes on no more than half a minute is heard.
func TestHostilePreviews(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	p := w.player()
	long, err := flac.Encode(make([]float32, 40*8000), 8000, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.openClip(t.Context(), w.clip(long, audio.FLAC))
	if err != nil {
		t.Fatal(err)
	}
	frames := 0
	for b := range d.full {
		frames += b.frames
		err := b.err
		d.free <- b
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d.close()
	if frames != 30*8000 {
		t.Errorf("%d frames of 40 s at 8 kHz", frames)
	}
	noise := make([]byte, 5000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	mp4 := append([]byte("\x00\x00\x00\x20ftypM4A "), noise...)
	for name, x := range map[string]struct {
		data  []byte
		codec string
	}{
		"an MP4 that says FLAC":      {mp4, audio.FLAC},
		"an MP4":                     {mp4, "m4a"},
		"FLAC that says Opus":        {long, audio.Opus},
		"FLAC cut in its header":     {long[:30], audio.FLAC},
		"Ogg of noise":               {append([]byte("OggS"), noise...), audio.Opus},
		"FLAC of noise":              {append([]byte("fLaC"), noise...), audio.FLAC},
		"nothing":                    {nil, audio.FLAC},
		"a codec of tomorrow's":      {noise, "wave3"},
		"FLAC behind someone's ID3":  {append([]byte("ID3\x04\x00\x00\x00\x00\x00\x00"), long...), audio.FLAC},
		"a WAV that says that it is": {append([]byte("RIFF\x00\x00\x00\x00WAVE"), noise...), audio.WAV},
	} {
		if d, err := p.openClip(t.Context(), w.clip(x.data, x.codec)); err == nil {
			d.close()
			t.Errorf("%s: opened", name)
		}
	}
	v := w.clip(long, audio.FLAC)
	v.clip.clip.Size--
	if _, err := p.openClip(t.Context(), v); !errors.Is(err, unixfs.ErrMalformed) {
		t.Errorf("another size than the card says: %v", err)
	}
}
