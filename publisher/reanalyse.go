package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/internal/audio"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/unixfs"
)

// Held reads blocks that are held here; node.Blocks is one.
type Held interface {
	Read(ctx context.Context, c cid.Cid) ([]byte, error)
}

// reanalyse decodes, from their sealed blocks, the tracks of all playlists whose info an older analyser
// made, and seals them new infos under the same file keys; what is sealed of the sound stays as it is.
// Tracks that cannot be decoded go to res.Skipped. Their playlists are marked for a new revision in the
// transaction that names the infos, so a kill loses at most work.
func (p *Publisher) reanalyse(ctx context.Context, opt Options, res *Result) error {
	if p.cfg.Held == nil {
		return errors.New("no blocks to read")
	}
	p.mu.Lock()
	lists, err := p.lists()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	var rows []*trackRow
	seen := map[cid.Cid]bool{}
	meter := meter{tell: opt.Progress}
	for _, l := range lists {
		order, err := p.order(l)
		if err != nil {
			return err
		}
		for _, c := range order {
			if seen[c] {
				continue
			}
			seen[c] = true
			row, err := p.trackRow(c)
			if err != nil {
				return err
			}
			rows = append(rows, &row)
			meter.total += int64(row.Size)
		}
	}
	var mu sync.Mutex // guards done and res.Skipped
	done := map[cid.Cid]*trackRow{}
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(p.cfg.Workers)
	for _, row := range rows {
		g.Go(func() error {
			fresh, err := p.reanalyseTrack(work, row)
			meter.add(int64(row.Size))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case work.Err() != nil:
				return work.Err()
			case errors.As(err, new(diskError)):
				return err
			case err != nil:
				res.Skipped = append(res.Skipped, Skipped{row.Title, err})
			case fresh:
				done[row.CID] = row
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(done) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if lists, err = p.lists(); err != nil {
		return err
	}
	puts := map[string][]byte{}
	for _, l := range lists {
		order, err := p.order(l)
		if err != nil {
			return err
		}
		for _, c := range order {
			if done[c] == nil {
				continue // or it was rolled out meanwhile
			}
			puts[rowTrack+c.String()] = marshal(done[c])
			if !slices.Contains(l.Changed, c) {
				l.Changed = append(l.Changed, c)
				puts[rowList+l.Label] = marshal(l)
			}
		}
	}
	res.Reanalysed = len(done)
	return p.cfg.Store.Apply(puts, nil)
}

// reanalyseTrack puts a new info's block and changes row to it; fresh is false where the old one is
// this analyser's.
func (p *Publisher) reanalyseTrack(ctx context.Context, row *trackRow) (fresh bool, err error) {
	t := row.track()
	sealed, err := p.cfg.Held.Read(ctx, row.Info)
	if err != nil {
		return false, fmt.Errorf("read info: %w", err)
	}
	info, err := lease.OpenInfo(t.Key, manifests.Entry{Track: t.CID, Info: t.Info, Size: t.Size, Sec: t.Sec}, sealed)
	if err != nil {
		return false, err
	}
	if info.Analyser == audio.Analyser && info.AnalyserVersion >= audio.AnalyserVersion {
		return false, nil
	}
	f, err := openHeld(ctx, p.cfg.Held, row.CID, row.Size)
	if err != nil {
		return false, err
	}
	plain, size, err := lease.OpenTrack(p.cfg.Keys.DJ(), t.Key, info, f, f.tree.Size)
	if err != nil {
		return false, err
	}
	found, err := audio.Analyse(ctx, plain, size, audio.Track{
		Codec: info.Codec, Rate: info.Rate, Channels: info.Channels, Samples: info.Samples,
		SamplesPerFrame: info.SamplesPerFrame, Delay: info.Delay, Padding: info.Padding, Index: info.Index,
	}, p.cfg.Audio)
	if err != nil {
		return false, err
	}
	info.Loudness, info.Waveform = loudness(found), found.Waveform
	info.Analyser, info.AnalyserVersion = audio.Analyser, audio.AnalyserVersion
	block, err := lease.SealInfo(t.Key, row.CID, info)
	if err != nil {
		return false, err
	}
	if err := p.cfg.Blocks.Put(ctx, node.Block(block)); err != nil {
		return false, onDisk(fmt.Errorf("store info: %w", err))
	}
	row.Info, row.Loudness = block.CID, info.Loudness
	return true, nil
}

// held reads a sealed file of ours from the blocks that are here, a leaf at a time.
type held struct {
	ctx    context.Context // of the one analysis that reads it
	blocks Held
	tree   *unixfs.File

	last int // the leaf that data is
	data []byte
}

func openHeld(ctx context.Context, blocks Held, root cid.Cid, size uint64) (*held, error) {
	tree, err := unixfs.Open(ctx, root, size, blocks.Read)
	if err != nil {
		return nil, err
	}
	return &held{ctx: ctx, blocks: blocks, tree: tree, last: -1}, nil
}

// ReadAt reads as io.ReaderAt promises, but by one goroutine at a time.
func (h *held) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		at := off + int64(n)
		if at >= h.tree.Size {
			return n, io.EOF
		}
		i := h.tree.Find(at)
		if i != h.last {
			h.last = -1
			if h.data, err = h.blocks.Read(h.ctx, h.tree.Leaves[i].CID); err != nil {
				return n, err
			}
			if err := h.tree.Check(i, h.data); err != nil {
				return n, err
			}
			h.last = i
		}
		n += copy(b[n:], h.data[at-h.tree.Leaves[i].At:])
	}
	return n, nil
}
