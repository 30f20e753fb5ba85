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
	item item
	clip manifests.Clip
	info manifests.Info // title and artist, where they are public
}

// Preview plays the previews on the card of NAME or NAME/P, or that of one
// track by its CID, once: no lease is needed, or looked at. Events are as
// Play's. The error wraps follow.ErrNotFound where there is none.
func (p *Player) Preview(ctx context.Context, req Request, track string, emit func(Event)) (Played, error) {
	req.Once = true
	return p.perform(ctx, req, emit, func(s *session, ctx context.Context) error {
		clips, err := p.previews(req, track)
		if err != nil {
			return err
		}
		return s.previews(ctx, clips)
	})
}

// previews finds the clips that a request asks for.
func (p *Player) previews(req Request, track string) ([]preview, error) {
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
	var out []preview
	for _, s := range c.Selections {
		if c.Card == nil || label != "" && s.Label != label {
			continue
		}
		entries := make(map[[32]byte]manifests.Entry, len(s.Entries))
		for _, e := range s.Entries {
			entries[manifests.Digest(e.Track)] = e
		}
		for _, t := range c.Card.Selection(s.ID).Tracks {
			e, ok := entries[t.Track]
			if !ok || t.Clip == nil || track != "" && e.Track.String() != track {
				continue
			}
			v := preview{item: item{name: names[0], label: s.Label, entry: e}, clip: *t.Clip}
			if t.Title != nil {
				v.info.Title, v.info.Artist = t.Title.Title, t.Title.Artist
			}
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no preview of that: %w", req.Name, follow.ErrNotFound)
	}
	return out, nil
}

// previews plays clips, each opened while the one before is heard.
func (s *session) previews(ctx context.Context, clips []preview) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	open := func(i int) chan opening {
		c := make(chan opening, 1)
		if i == len(clips) {
			c <- opening{}
			return c
		}
		go func() {
			d, err := s.p.openClip(ctx, &clips[i])
			c <- opening{d, err}
		}()
		return c
	}
	ps := &pass{}
	for _, v := range clips {
		v.item.entry.Sec = uint64(longestClip / time.Second) // for the sink's guess of its length
		ps.items = append(ps.items, v.item)
	}
	next := open(0)
	defer func() {
		cancel()
		if o := <-next; o.deck != nil {
			o.deck.close()
		}
	}()
	heard := 0
	for i, v := range clips {
		o := <-next
		next = open(i + 1)
		if o.err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.fail(v.item, o.err)
			continue
		}
		whole, err := s.track(ctx, o.deck, ps)
		o.deck.close()
		if err != nil {
			return err
		}
		if whole {
			heard++
		}
	}
	if heard == 0 {
		return fmt.Errorf("no preview could be played: %w", node.ErrNotFound)
	}
	return nil
}

// openClip fetches a preview, which is small, and opens it. Its bytes are as
// hostile as any stranger's, so only what previews are made of is looked at.
func (p *Player) openClip(ctx context.Context, v *preview) (_ *deck, err error) {
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
	return startDeck(ctx, cancel, v.item, &v.info, &short{dec, int64(longestClip/time.Second) * int64(src.Track.Rate)}), nil
}

// short is a decoder that ends after so many frames.
type short struct {
	audio.Decoder
	left int64
}

func (s *short) Read(dst []float32) (int, error) {
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
