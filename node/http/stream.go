package http

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"playnode/node"
)

const (
	carType = "application/vnd.ipld.car"
	// maxHeader bounds a CAR's header, maxCID a section's CID, in bytes.
	maxHeader, maxCID = 4 << 10, 64
	// maxWanted bounds the blocks of a graph that is streamed, maxRepeats those
	// that come twice.
	maxWanted, maxRepeats = 1 << 17, 64
)

var errFlat = fmt.Errorf("gives no CARs: %w", node.ErrNotFound)

// Stream reads the graph below root as one CAR; see node.Streamer. A host that
// answers with something else, as one does that serves files, is not asked
// again.
func (c *Client) Stream(ctx context.Context, root cid.Cid, f func(node.Block) error) error {
	if err := c.car(ctx, root, f); err != nil {
		return fmt.Errorf("stream %s from %s: %w", root, c.root, err)
	}
	return nil
}

func (c *Client) car(ctx context.Context, root cid.Cid, f func(node.Block) error) error {
	if c.flat.Load() {
		return errFlat
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(stalled, func() {
		cancel(fmt.Errorf("nothing came for %s: %w", stalled, node.ErrNotFound))
	})
	defer alive.Stop()
	req, err := http.NewRequestWithContext(urged(ctx, node.Later), http.MethodGet, c.root+"/ipfs/"+root.String()+"?format=car&dag-scope=all&car-order=dfs&car-dups=n", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", carType+"; version=1; order=dfs; dups=n")
	res, err := c.stream.Do(req)
	if err != nil {
		return ended(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK && !strings.HasPrefix(res.Header.Get("Content-Type"), carType) || res.StatusCode == http.StatusNotAcceptable {
		c.flat.Store(true)
		return errFlat
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s: %w", res.Status, node.ErrNotFound)
	}
	in := bufio.NewReaderSize(res.Body, 256<<10)
	if err := skipHeader(in); err != nil {
		return ended(ctx, err)
	}
	// Only what is linked from before is taken: hashes alone would let a
	// gateway send anything. True are those that are still to come.
	wanted, repeats := map[cid.Cid]bool{root: true}, 0
	for left := 1; left > 0; {
		b, err := section(in)
		if err != nil {
			return ended(ctx, err)
		}
		alive.Reset(stalled)
		coming, known := wanted[b.CID]
		if !known {
			return fmt.Errorf("block %s, which nothing links: %w", b.CID, node.ErrVerify)
		}
		if !coming {
			if repeats++; repeats > maxRepeats {
				return fmt.Errorf("over %d repeats: %w", maxRepeats, node.ErrNotFound)
			}
			continue
		}
		wanted[b.CID] = false
		left--
		links, err := node.Links(b.CID, b.Data)
		if err != nil { // its maker's fault, and not the gateway's
			return fmt.Errorf("%w: %w", node.ErrNotFound, err)
		}
		for _, l := range links {
			if _, known := wanted[l]; known {
				continue
			}
			if p := l.Prefix(); p.MhType != multihash.SHA2_256 || p.MhLength != 32 || len(wanted) == maxWanted {
				return fmt.Errorf("a graph with %s in it, of over %d blocks: %w", l, len(wanted), node.ErrNotFound)
			}
			wanted[l] = true
			left++
		}
		if err := f(b); err != nil {
			return err
		}
		alive.Reset(stalled) // f may have waited for a disk
	}
	return nil
}

// ended says why a stream broke off: the caller's doing, wrong bytes, or a
// source that has no more.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, node.ErrVerify) {
		return err
	}
	return fmt.Errorf("%w: %w", node.ErrNotFound, err)
}

// skipHeader passes over a CAR's header. Its roots are the gateway's say; what
// was asked for is known.
func skipHeader(in *bufio.Reader) error {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	if size == 0 || size > maxHeader {
		return fmt.Errorf("a CAR's header of %d bytes: %w", size, node.ErrNotFound)
	}
	_, err = in.Discard(int(size))
	return err
}

// section reads one block and verifies it.
func section(in *bufio.Reader) (b node.Block, err error) {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return b, err
	}
	if size == 0 || size > node.MaxBlock+maxCID { // who made so large a block is not known
		return b, fmt.Errorf("a CAR's section of %d bytes: %w", size, node.ErrNotFound)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		return b, err
	}
	n, c, err := cid.CidFromBytes(data)
	if err != nil { // some gateways end a stream that fails with the error's text
		return b, fmt.Errorf("a CAR's section: %w: %w", err, node.ErrNotFound)
	}
	b = node.Block{CID: c, Data: data[n:]}
	return b, node.Verify(b.CID, b.Data)
}
