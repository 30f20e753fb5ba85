package player

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/internal/audio"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/unixfs"
)

// longestClip bounds what is heard of a preview, whatever its file holds.
const longestClip = 30 * time.Second

// preview is a clip of a track that its DJ has on her card.
type preview struct {
	clip manifests.Clip
	info manifests.Info // title and artist, where they are public
}

// OpenPreview makes a Playback of the previews on the card of NAME or NAME/P,
// or of that of one track by its CID, once: no lease is needed, or looked at.
// Run's error wraps follow.ErrNotFound where there is none.
func (p *Player) OpenPreview(req Request, track string, emit func(Event)) (*Playback, error) {
	req.Once = true
	b, err := p.Open(req, emit)
	if err != nil {
		return nil, err
	}
	b.program = func(context.Context) (*program, error) { return p.previews(req, track) }
	return b, nil
}

// previews finds the clips that a request asks for.
func (p *Player) previews(req Request, track string) (*program, error) {
	if req.Name == "" {
		return nil, fmt.Errorf("previews of whom: %w", follow.ErrNotFound)
	}
	names, label, err := p.selections(req)
	if err != nil {
		return nil, err
	}
	c, err := p.cfg.Catalogues.Newest(names[0])
	if err != nil {
		return nil, err
	}
	out := &program{}
	for i := range c.Selections {
		s := &c.Selections[i]
		if c.Card == nil || label != "" && s.Label != label {
			continue
		}
		entries := make(map[[32]byte]manifests.Entry, len(s.Entries))
		for _, e := range s.Entries {
			entries[manifests.Digest(e.Track)] = e
		}
		ps := &pass{name: c.Name, dj: c.DJ, version: c.Envelope, sel: s}
		for _, t := range c.Card.Selection(s.ID).Tracks {
			e, ok := entries[t.Track]
			if !ok || t.Clip == nil || track != "" && e.Track.String() != track {
				continue
			}
			v := &preview{clip: *t.Clip}
			if t.Title != nil {
				v.info.Title, v.info.Artist = t.Title.Title, t.Title.Artist
			}
			e.Sec = uint64(longestClip / time.Second) // for the sink's guess of its length
			ps.items = append(ps.items, item{name: names[0], label: s.Label, entry: &e, clip: v})
		}
		if len(ps.items) > 0 {
			out.passes = append(out.passes, ps)
			out.total += len(ps.items)
		}
	}
	if out.total == 0 {
		return nil, fmt.Errorf("%s has no preview of that: %w", req.Name, follow.ErrNotFound)
	}
	return out, nil
}

// openClip fetches a preview, which is small, and opens it. Its bytes are as
// hostile as any stranger's, so only what previews are made of is looked at.
func (p *Player) openClip(ctx context.Context, it item) (_ *deck, err error) {
	v := it.clip
	defer func() {
		if err != nil {
			err = fmt.Errorf("open preview %s: %w", v.clip.File, err)
		}
	}()
	data, err := p.readClip(ctx, v.clip)
	if err != nil {
		return nil, err
	}
	magic := map[string]string{audio.Opus: "OggS", audio.FLAC: "fLaC"}[v.clip.Codec]
	if magic == "" || !bytes.HasPrefix(data, []byte(magic)) {
		return nil, fmt.Errorf("%w: %.32q", audio.ErrUnsupported, v.clip.Codec)
	}
	src, err := audio.Ingest(ctx, bytes.NewReader(data), int64(len(data)), "preview")
	if err != nil {
		return nil, err
	}
	r, size := src.ReaderAt()
	dec, err := audio.Open(r, size, src.Track, p.cfg.Audio)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	most := int64(longestClip/time.Second) * int64(src.Track.Rate)
	return startDeck(ctx, cancel, it, &v.info, &bounded{dec, min(most, dec.Len())}, 0), nil
}

// bounded is a decoder that ends after so many frames.
type bounded struct {
	audio.Decoder
	left int64
}

func (s *bounded) Len() int64 { return s.left }

func (s *bounded) Read(dst []float32) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	channels := int64(s.Format().Channels)
	n, err := s.Decoder.Read(dst[:min(int64(len(dst)), s.left*channels)])
	s.left -= int64(n)
	return n, err
}

// readClip reads a clip's file whole.
func (p *Player) readClip(ctx context.Context, k manifests.Clip) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Patience)
	defer cancel()
	want := node.Want{Class: node.Now}
	data, err := p.cfg.Fetch.Get(ctx, k.File, want)
	if err != nil || k.File.Prefix().Codec == cid.Raw {
		if err == nil && uint64(len(data)) != k.Size {
			err = unixfs.ErrMalformed
		}
		return data, err
	}
	leaves, err := follow.ReadClip(k, data)
	if err != nil {
		return nil, err
	}
	var whole bytes.Buffer
	for _, l := range leaves {
		b, err := p.cfg.Fetch.Get(ctx, l.File, want)
		if err != nil {
			return nil, err
		}
		if uint64(len(b)) != l.Size {
			return nil, unixfs.ErrMalformed
		}
		whole.Write(b)
	}
	return whole.Bytes(), nil
}
