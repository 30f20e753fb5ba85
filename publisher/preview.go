package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/internal/audio"
	"playnode/internal/audio/clip"
	"playnode/lease"
	"playnode/manifests"
)

// rowClip begins the rows of previews: one for each track and way to cut it.
const rowClip = "clip/"

// ClipTerms is how a playlist's previews are cut.
type ClipTerms struct {
	// For is their length, clip.Longest at the most.
	For time.Duration
	// From is where they begin; nil for the loudest stretch of each track.
	From *time.Duration `json:",omitempty"`
}

// key is the row of a track's preview.
func (t *ClipTerms) key(track cid.Cid) string {
	from := "loudest"
	if t.From != nil {
		from = strconv.FormatInt(t.From.Milliseconds(), 10)
	}
	return rowClip + track.String() + "/" + from + "/" + strconv.FormatInt(t.For.Milliseconds(), 10)
}

// clipRow is a preview that was made.
type clipRow struct {
	File  cid.Cid
	Size  uint64
	Codec string
}

// Clips is what SetClips did.
type Clips struct {
	// Made counts the previews made now, Codecs those of the playlist, by
	// codec, Bytes their sizes.
	Made   int
	Codecs map[string]int
	Bytes  uint64
	// Why says why FLAC was made where Opus could not be.
	Why     string
	Skipped []Skipped
	// Left counts the tracks that found no room on the card.
	Left int
}

// SetClips makes a preview of every track of a playlist, puts them on the
// card, and has Publish do so for tracks to come; nil terms take them off.
// Each is a file of its own, made from the sound that only the DJ can open,
// and readable by anyone; it opens nothing else. Previews of a kind that takes
// more room than this machine could make by now are made anew.
func (p *Publisher) SetClips(ctx context.Context, label string, t *ClipTerms, progress func(done, total int64)) (Clips, error) {
	out, err := p.setClips(ctx, label, t, progress)
	if err != nil {
		return out, fmt.Errorf("previews of %q: %w", label, err)
	}
	return out, nil
}

func (p *Publisher) setClips(ctx context.Context, label string, t *ClipTerms, progress func(done, total int64)) (Clips, error) {
	out := Clips{Codecs: map[string]int{}}
	if t != nil && (t.For < time.Second || t.For > clip.Longest || t.From != nil && *t.From < 0) {
		return out, fmt.Errorf("%w: a preview lasts a second to %s", ErrTerms, clip.Longest)
	}
	var list listRow
	ok, err := load(p.cfg.Store, rowList+label, &list)
	if err != nil {
		return out, err
	}
	if !ok {
		return out, ErrNoPlaylist
	}
	if t != nil {
		order, err := p.order(&list)
		if err != nil {
			return out, err
		}
		if err := p.makeClips(ctx, t, order, true, progress, &out); err != nil {
			return out, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	row, err := p.cardRow()
	if err == nil {
		err = p.editCardList(&row, label, func(l *cardList) { l.Clips = t })
	}
	if err == nil {
		err = p.commit(ctx, edit{card: &row})
	}
	if err != nil {
		return out, err
	}
	lists, err := p.lists()
	if err != nil {
		return out, err
	}
	c, err := p.card(row, lists)
	out.Left = c.Left
	return out, err
}

// clipsFor makes the previews that tracks new in a playlist are to have by the
// card.
func (p *Publisher) clipsFor(ctx context.Context, opt Options, add []cid.Cid, res *Result) error {
	row, err := p.cardRow()
	if err != nil {
		return err
	}
	t := row.Lists[opt.Playlist].Clips
	if t == nil || len(add) == 0 {
		return nil
	}
	made := Clips{Codecs: map[string]int{}}
	err = p.makeClips(ctx, t, add, false, opt.Clips, &made)
	res.Clips = made.Made
	return err
}

// makeClips makes the previews that are not there yet, with again also those
// that could be smaller by now. Tracks of which none can be made go to
// out.Skipped.
func (p *Publisher) makeClips(ctx context.Context, t *ClipTerms, tracks []cid.Cid, again bool, progress func(done, total int64), out *Clips) error {
	var todo []*trackRow
	seen := map[cid.Cid]bool{}
	count := func(k clipRow) {
		out.Codecs[k.Codec]++
		out.Bytes += k.Size
	}
	for _, c := range tracks {
		if seen[c] {
			continue
		}
		seen[c] = true
		var have clipRow
		ok, err := load(p.cfg.Store, t.key(c), &have)
		if err != nil {
			return err
		}
		if ok && (!again || have.Codec == audio.Opus) {
			count(have)
			continue
		}
		row, err := p.trackRow(c)
		if err != nil {
			return err
		}
		todo = append(todo, &row)
	}
	if len(todo) > 0 && p.cfg.Held == nil {
		return errors.New("no blocks to read")
	}
	meter := meter{tell: progress, total: int64(len(todo))}
	var mu sync.Mutex // guards out
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(p.cfg.Workers)
	for _, row := range todo {
		g.Go(func() error {
			k, why, err := p.makeClip(work, row, t)
			meter.add(1)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case work.Err() != nil:
				return work.Err()
			case errors.As(err, new(diskError)):
				return err
			case err != nil:
				p.cfg.Log.Warn("no preview", "track", row.CID, "err", err)
				out.Skipped = append(out.Skipped, Skipped{row.Title, err})
				return nil
			}
			if why != nil {
				out.Why = why.Error()
			}
			out.Made++
			count(k)
			return onDisk(p.cfg.Store.Put(t.key(row.CID), marshal(k)))
		})
	}
	return g.Wait()
}

// makeClip cuts a track's preview out of its sealed blocks and stores it.
func (p *Publisher) makeClip(ctx context.Context, row *trackRow, terms *ClipTerms) (k clipRow, why, err error) {
	t := row.track()
	sealed, err := p.cfg.Held.Read(ctx, row.Info)
	if err != nil {
		return k, nil, fmt.Errorf("read info: %w", err)
	}
	info, err := lease.OpenInfo(t.Key, manifests.Entry{Track: t.CID, Info: t.Info, Size: t.Size, Sec: t.Sec}, sealed)
	if err != nil {
		return k, nil, err
	}
	f, err := openHeld(ctx, p.cfg.Held, row.CID, row.Size)
	if err != nil {
		return k, nil, err
	}
	plain, size, err := lease.OpenTrack(p.cfg.Keys.DJ(), t.Key, info, f, f.tree.Size)
	if err != nil {
		return k, nil, err
	}
	d, err := audio.Open(plain, size, audio.Track{
		Codec: info.Codec, Rate: info.Rate, Channels: info.Channels, Samples: info.Samples,
		SamplesPerFrame: info.SamplesPerFrame, Delay: info.Delay, Padding: info.Padding, Index: info.Index,
	}, p.cfg.Audio)
	if err != nil {
		return k, nil, err
	}
	defer d.Close()
	frames := int64(terms.For.Seconds() * float64(info.Rate))
	from := clip.Loudest(info.Waveform, info.Samples, frames)
	if terms.From != nil {
		from = min(int64(terms.From.Seconds()*float64(info.Rate)), max(0, info.Samples-frames))
	}
	c, err := clip.Make(ctx, d, from, frames)
	if err != nil {
		return k, nil, err
	}
	root, err := buildDAG(ctx, bytes.NewReader(c.Data), p.cfg.Blocks)
	if err != nil {
		return k, nil, err
	}
	return clipRow{root, uint64(len(c.Data)), c.Codec}, c.Why, nil
}
