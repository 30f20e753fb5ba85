package player

import (
	"context"
	"fmt"
	"io"
	"time"

	"playnode/internal/audio"
	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

const (
	// blockFrames is how many sample frames a deck decodes at once.
	blockFrames = 4096
	// aheadBlocks bounds what a deck decodes ahead: 1.5 s at 44.1 kHz.
	aheadBlocks = 16
	// headStart is how many blocks beyond its first a deck has decoded when it
	// begins, unless they take longer than headWait: by its first alone it ran dry
	// where the next came 40 ms late, on a machine that is busy.
	headStart = 3
	headWait  = 15 * time.Millisecond
)

// block is a stretch of decoded sound; the last one of a track has no frames.
type block struct {
	samples []float32 // interleaved, of the track's channels
	frames  int
	err     error // io.EOF after the track's last frame
}

// deck is one decoding track. It decodes ahead in a goroutine of its own into
// a fixed set of blocks, until it is closed.
type deck struct {
	item   item
	info   *manifests.Info
	format audio.Format
	file   *file // its sealed bytes; nil of a preview
	from   int64 // its first frame that is decoded
	frames int64 // how many there are from there on, if it is whole

	cancel context.CancelFunc
	full   chan *block
	free   chan *block
	came   chan struct{} // holds one: full has got more
	done   chan struct{}
}

// openDeck opens a track's keys, its metadata and its samples, so far into it.
func (p *Player) openDeck(ctx context.Context, it item, u *lease.Unlocked, in time.Duration, soon *urge) (d *deck, err error) {
	seal.Erasing(func() { d, err = p.decode(ctx, it, u, in, soon) })
	return d, err
}

func (p *Player) decode(ctx context.Context, it item, u *lease.Unlocked, in time.Duration, soon *urge) (_ *deck, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
			err = fmt.Errorf("open track %s: %w", it.entry.Track, err)
		}
	}()
	// What a deck needs is asked for at once: each answer takes a round trip.
	opened := make(chan struct{})
	var f *file
	var ferr error
	go func() {
		defer close(opened)
		f, ferr = p.openFile(ctx, *it.entry, soon)
		if ferr == nil && in == 0 {
			f.leaf(0, node.Now, 0)
		}
	}()
	info, err := p.info(ctx, it, u, soon)
	if err != nil {
		cancel()
	}
	if <-opened; err == nil {
		err = ferr
	}
	if err != nil {
		return nil, err
	}
	key, err := u.FileKey(*it.entry)
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	plain, size, err := lease.BeginTrack(u.DJ(), key, info, f, f.tree.Size)
	if err != nil {
		return nil, err
	}
	dec, err := audio.Open(plain, size, trackOf(info), p.cfg.Audio)
	if err != nil {
		return nil, err
	}
	from := max(0, min(int64(in.Seconds()*float64(dec.Format().Rate)), dec.Len()))
	if from > 0 {
		if err := dec.SeekFrame(from); err != nil {
			return nil, err
		}
	}
	d := startDeck(ctx, cancel, it, info, dec, from)
	d.file = f
	return d, nil
}

// startDeck begins to decode from a frame that dec stands at; cancel ends ctx.
func startDeck(ctx context.Context, cancel context.CancelFunc, it item, info *manifests.Info, dec audio.Decoder, from int64) *deck {
	d := &deck{
		item: it, info: info, format: dec.Format(), cancel: cancel, from: from, frames: dec.Len() - from,
		full: make(chan *block, aheadBlocks), free: make(chan *block, aheadBlocks), came: make(chan struct{}, 1), done: make(chan struct{}),
	}
	for range aheadBlocks {
		d.free <- &block{samples: make([]float32, blockFrames*d.format.Channels)}
	}
	go seal.Erasing(func() { d.run(ctx, dec) })
	return d
}

// info opens a track's sealed metadata.
func (p *Player) info(ctx context.Context, it item, u *lease.Unlocked, soon *urge) (*manifests.Info, error) {
	sealed, err := soon.get(ctx, p, it.entry.Info, node.Now, 0)
	if err != nil {
		return nil, err
	}
	return u.Info(*it.entry, sealed)
}

func trackOf(i *manifests.Info) audio.Track {
	return audio.Track{
		Codec: i.Codec, Rate: i.Rate, Channels: i.Channels, Samples: i.Samples,
		SamplesPerFrame: i.SamplesPerFrame, Delay: i.Delay, Padding: i.Padding, Index: i.Index,
	}
}

// run decodes until the end, an error, or ctx's end. A decoder that panics
// ends its own track and nothing else.
func (d *deck) run(ctx context.Context, dec audio.Decoder) {
	defer close(d.done)
	defer dec.Close()
	for {
		var b *block
		select {
		case b = <-d.free:
		case <-ctx.Done():
			return
		}
		b.frames, b.err = read(dec, b.samples)
		last := b.err != nil
		select {
		case d.full <- b:
			poke(d.came)
		case <-ctx.Done():
			return
		}
		if last {
			return
		}
	}
}

// lead has a deck that begins decode a little ahead.
func (d *deck) lead(ctx context.Context) {
	late := time.NewTimer(headWait)
	defer late.Stop()
	for len(d.full) < headStart {
		select {
		case <-late.C:
			return
		case <-d.came:
		case <-d.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

func read(dec audio.Decoder, dst []float32) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, fmt.Errorf("decoder gave up: %v: %w", r, audio.ErrDamaged)
		}
	}()
	n, err = dec.Read(dst)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}

// close ends the deck and waits for its goroutine.
func (d *deck) close() {
	d.cancel()
	<-d.done
}
