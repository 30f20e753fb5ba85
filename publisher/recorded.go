package publisher

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"playnode/internal/audio"
	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

// atOnce is the longest set that is analysed before it is published, in
// seconds of sound; a longer one is a track first, and measured after.
const atOnce = 2 * 3600

// longestPart is how long a track of a set is about, unless SetOptions say: what
// opens its leaves has to find room in its info.
const longestPart = 12 * time.Hour

// become is what a set, or a part of it, has become.
type become struct {
	tracks []Track
	gone   []cid.Cid // tracks that the playlist lists no more
}

// after is what is left of earlier tracks, and then b's.
func (b become) after(earlier []Track) []Track {
	return slices.DeleteFunc(slices.Concat(earlier, b.tracks), func(t Track) bool { return slices.Contains(b.gone, t.CID) })
}

// closeSet makes the set that a playlist has had on air tracks of it, one for
// each of its runs; none where there was none, or nothing in it. The segments
// stay as they are.
func (p *Publisher) closeSet(ctx context.Context, label string) (become, error) {
	var row setRow
	ok, err := load(p.cfg.Store, rowSet+label, &row)
	if err != nil || !ok {
		return become{}, err
	}
	air, err := lease.DecodeAir(row.Air)
	if err != nil {
		return become{}, err
	}
	return p.tracksOf(ctx, edit{label: label, create: true, air: &aired{}, gone: []string{rowSet + label}}, row, air, math.MaxUint64)
}

// partSet makes tracks of those runs of a set on air that have ended before a
// segment.
func (p *Publisher) partSet(ctx context.Context, label string, row setRow, air lease.Air, before uint64) (become, error) {
	row.Closed = false
	return p.tracksOf(ctx, edit{label: label, create: true}, row, air, before)
}

// tracksOf makes tracks of a set's runs, up to a segment, and forgets what was
// noted of them, by the edit e: of what rows say, all changes at once.
func (p *Publisher) tracksOf(ctx context.Context, e edit, row setRow, air lease.Air, before uint64) (out become, err error) {
	live := air.Record.Live
	var runs []runRow
	if err := p.cfg.Store.Each(rowRun+live.String()+"/", func(key string, value []byte) error {
		var r runRow
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if r.From < before {
			runs, e.gone = append(runs, r), append(e.gone, key)
		}
		return nil
	}); err != nil {
		return out, err
	}
	var leaves []segmentRow
	first := uint64(0) // the number of leaves[0]
	if err := p.cfg.Store.Each(rowSegment+live.String()+"/", func(key string, value []byte) error {
		seq, err := strconv.ParseUint(key[strings.LastIndexByte(key, '/')+1:], 16, 64)
		if err != nil || seq >= before {
			return err
		}
		if len(leaves) == 0 {
			first = seq
		}
		var s segmentRow
		if err := json.Unmarshal(value, &s); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		leaves, e.gone = append(leaves, s), append(e.gone, key)
		return nil
	}); err != nil {
		return out, err
	}
	title := row.Title
	if title == "" {
		title = "Live, " + time.Unix(row.Began, 0).UTC().Format("2 January 2006 15:04 UTC")
	}
	end := first + uint64(len(leaves))
	var made []*trackRow
	for i, run := range runs {
		to := end
		if i+1 < len(runs) {
			to = min(to, runs[i+1].From)
		}
		if run.From < first || run.From >= to {
			continue
		}
		name := title
		if run.N > 0 {
			name = fmt.Sprintf("%s (%d)", title, run.N+1)
		}
		rec := &manifests.Recorded{Live: live, First: run.From, Spans: spansOf(air, run.From, to), Closed: row.Closed && to == end}
		t, err := p.recorded(ctx, rec, run.Init, leaves[run.From-first:to-first], name)
		if err != nil {
			return out, fmt.Errorf("make a track of set %s: %w", live, err)
		}
		if t == nil {
			continue
		}
		if err := p.cfg.Store.Put(rowTrack+t.CID.String(), marshal(t)); err != nil {
			return out, err
		}
		made, e.add = append(made, t), append(e.add, t.CID)
		out.tracks = append(out.tracks, Track{CID: t.CID, Title: t.Title, Samples: t.Samples, Rate: t.Rate, Loudness: t.Loudness})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if row.Keep > 0 {
		if err := p.roll(&e, made, row); err != nil {
			return out, err
		}
	} else if air.Open != nil && first == 0 && before == math.MaxUint64 && len(made) > 0 {
		if err := p.leaveOpen(ctx, &e, air, runs, leaves, row.Closed, made[0]); err != nil {
			return out, err
		}
	}
	out.gone = e.drop
	return out, p.commit(ctx, e)
}

// spansOf are the live keys of segments from on, up to to.
func spansOf(a lease.Air, from, to uint64) []manifests.Span {
	var out []manifests.Span
	for i, s := range a.Spans {
		if s.From < to && (i+1 == len(a.Spans) || a.Spans[i+1].From > from) {
			out = append(out, s)
		}
	}
	return out
}

// closeSets closes what a kill has left open.
func (p *Publisher) closeSets(ctx context.Context) error {
	var labels []string
	if err := p.cfg.Store.Each(rowSet, func(key string, _ []byte) error {
		labels = append(labels, strings.TrimPrefix(key, rowSet))
		return nil
	}); err != nil {
		return err
	}
	for _, label := range labels {
		unlock, ok := p.aired.try(label)
		if !ok {
			continue // it is on air
		}
		_, err := p.closeSet(ctx, label)
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// recorded makes a file of a run's segments, and what it says of itself; nil
// where they hold nothing.
func (p *Publisher) recorded(ctx context.Context, rec *manifests.Recorded, init *manifests.MediaInit, leaves []segmentRow, title string) (*trackRow, error) {
	row := &trackRow{}
	var length int64
	for _, s := range leaves {
		rec.AppendSize(s.Sealed, s.Media)
		row.Size += uint64(s.Sealed)
		length += s.Len
	}
	if length == 0 {
		return nil, nil
	}
	var err error
	if row.CID, err = joinLeaves(ctx, leaves, p.cfg.Blocks); err != nil {
		return nil, err
	}
	row.Key = make([]byte, len(seal.FileKey{}))
	rand.Read(row.Key)
	info := &manifests.Info{Title: title, Codec: init.Codec, Rate: init.Rate, Channels: 1, Samples: length, Recorded: rec}
	if err := p.understand(ctx, row, info); err != nil {
		return nil, err
	}
	block, err := lease.SealInfo(row.track().Key, row.CID, info)
	if err != nil {
		return nil, err
	}
	if err := p.cfg.Blocks.Put(ctx, node.Block(block)); err != nil {
		return nil, onDisk(fmt.Errorf("store info: %w", err))
	}
	row.Info, row.Title = block.CID, info.Title
	row.Codec, row.Rate, row.Channels, row.Samples, row.Loudness = info.Codec, info.Rate, info.Channels, info.Samples, info.Loudness
	row.Sec = uint64((info.Samples + int64(info.Rate) - 1) / int64(info.Rate))
	return row, nil
}

// understand finds out about a set's sound what is found out about a file's.
// What is no sound, as a film, keeps what its source has said.
func (p *Publisher) understand(ctx context.Context, row *trackRow, info *manifests.Info) error {
	if p.cfg.Held == nil {
		return errors.New("no blocks to read")
	}
	f, err := openHeld(ctx, p.cfg.Held, row.CID, row.Size)
	if err != nil {
		return err
	}
	plain, size, err := lease.OpenTrack(p.cfg.Keys.DJ(), row.track().Key, info, f, f.tree.Size)
	if err != nil {
		return err
	}
	src, err := audio.Ingest(ctx, plain, size, info.Title)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.cfg.Log.Info("a set is kept as it came", "codec", info.Codec, "why", err)
		return nil
	}
	defer src.Close()
	t := src.Track
	if t.Codec != info.Codec && (info.Codec != audio.MP3 || t.Codec != audio.MP2 && t.Codec != audio.MP1) || t.Samples <= 0 {
		return nil // transcoded: that is not what the segments hold
	}
	info.Codec, info.Rate, info.Channels, info.Samples = t.Codec, t.Rate, t.Channels, t.Samples
	info.SamplesPerFrame, info.Delay, info.Padding, info.Index = t.SamplesPerFrame, t.Delay, t.Padding, t.Index
	found := audio.Analysis{Loudness: math.Inf(-1)}
	if t.Samples <= atOnce*int64(t.Rate) {
		if found, err = audio.Analyse(ctx, plain, size, t, p.cfg.Audio); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			found = audio.Analysis{Loudness: math.Inf(-1)}
		}
		info.Analyser, info.AnalyserVersion = audio.Analyser, audio.AnalyserVersion
	}
	info.Loudness, info.Waveform = loudness(found), found.Waveform
	return nil
}

// joinLeaves makes a UnixFS file of blocks that are there already, in the
// layout of buildDAG, and puts its inner nodes.
func joinLeaves(ctx context.Context, leaves []segmentRow, to node.Putter) (cid.Cid, error) {
	w := &dagWriter{to: to}
	level := make([]branch, len(leaves))
	for i, s := range leaves {
		level[i] = branch{s.CID, uint64(s.Sealed), uint64(s.Sealed)}
	}
	for len(level) > 1 {
		var up []branch
		for len(level) > 0 {
			n := min(len(level), helpers.DefaultLinksPerBlock)
			b, err := join(ctx, level[:n], w)
			if err != nil {
				return cid.Undef, fmt.Errorf("join segments: %w", err)
			}
			up, level = append(up, b), level[n:]
		}
		level = up
	}
	if len(level) == 0 {
		return cid.Undef, fmt.Errorf("join segments: %w", io.ErrUnexpectedEOF)
	}
	return level[0].cid, w.flush(ctx)
}

// branch is a node of a file's tree, the bytes of file below it, and the bytes
// of blocks.
type branch struct {
	cid         cid.Cid
	file, whole uint64
}

func join(ctx context.Context, below []branch, w *dagWriter) (branch, error) {
	n := merkledag.NodeWithData(nil)
	if err := n.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}); err != nil {
		return branch{}, err
	}
	fs := ft.NewFSNode(ft.TFile)
	var b branch
	for _, c := range below {
		if err := n.AddRawLink("", &ipld.Link{Size: c.whole, Cid: c.cid}); err != nil {
			return branch{}, err
		}
		fs.AddBlockSize(c.file)
		b.file, b.whole = b.file+c.file, b.whole+c.whole
	}
	data, err := fs.GetBytes()
	if err != nil {
		return branch{}, err
	}
	n.SetData(data)
	b.cid, b.whole = n.Cid(), b.whole+uint64(len(n.RawData()))
	return b, w.Add(ctx, n)
}
