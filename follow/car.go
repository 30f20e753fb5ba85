package follow

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// A catalogue as one file is a CARv1 of two roots: the head's envelope, and a
// dag-cbor block {name: k51 text, record: bytes} that holds the name's signed
// record and comes first. SPEC has it.
const (
	// maxCARHeader bounds the header; ours has 99 bytes.
	maxCARHeader = 256
	// maxCID bounds a CID in a section.
	maxCID = 64
	// importBatch is how many bytes are written with one sync.
	importBatch = 4 << 20
)

// Carried is a catalogue that went into or came out of a file.
type Carried struct {
	Name     ipns.Name
	Envelope cid.Cid
	// Blocks and Bytes are what the file has, the record's block included.
	Blocks int
	Bytes  int64
	// Fresh blocks were not held here before.
	Fresh int
}

// Export writes the newest version of name as a CAR: its record, and
// everything public below its head, each block once, each verified when it is
// read. The name is followed here and its newest version whole, or it is this
// box's own; else ErrNotFound. Besides a block at a time it keeps 32 bytes in
// memory for each. After an error w holds nothing of use.
func (f *Follower) Export(ctx context.Context, name ipns.Name, w io.Writer, progress func(Carried)) (Carried, error) {
	out := Carried{Name: name}
	err := f.export(ctx, w, &out, progress)
	if err != nil {
		return out, fmt.Errorf("export %s: %w", name, kindOf(err))
	}
	return out, nil
}

func (f *Follower) export(ctx context.Context, w io.Writer, out *Carried, progress func(Carried)) error {
	rec, err := f.exported(out.Name)
	if err != nil {
		return err
	}
	out.Envelope = rec.Value
	first := encodeRecord(rec)
	buf := bufio.NewWriterSize(w, 1<<20)
	header := carHeader(rec.Value, first.CID)
	if _, err := buf.Write(append(binary.AppendUvarint(nil, uint64(len(header))), header...)); err != nil {
		return err
	}
	put := func(c cid.Cid, data []byte) error {
		id := c.Bytes()
		if _, err := buf.Write(append(binary.AppendUvarint(nil, uint64(len(id)+len(data))), id...)); err != nil {
			return err
		}
		if _, err := buf.Write(data); err != nil {
			return err
		}
		out.Blocks++
		out.Bytes += int64(len(data))
		if progress != nil {
			progress(*out)
		}
		return nil
	}
	if err := put(first.CID, first.Data); err != nil {
		return err
	}
	k := Checked{}
	for todo := []cid.Cid{rec.Value}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !k.first(c) {
			continue
		}
		data, err := f.cfg.Blocks.Read(ctx, c)
		if err != nil {
			return err
		}
		if err := put(c, data); err != nil {
			return err
		}
		links, err := node.Links(c, data)
		if err != nil {
			return err
		}
		for i := len(links) - 1; i >= 0; i-- { // depth first, in order
			todo = append(todo, links[i])
		}
	}
	return buf.Flush()
}

// exported is the record of the version that Export writes.
func (f *Follower) exported(name ipns.Name) (ipns.Record, error) {
	newest, err := f.cfg.Names.Newest(name)
	if err != nil {
		return newest, err
	}
	if f.cfg.Own != nil {
		own, err := f.cfg.Own(func(cid.Cid) bool { return false })
		if err != nil || slices.Contains(own, newest.Value) {
			return newest, err // also where she follows herself, after a restore
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.names[name]
	switch {
	case !ok:
		return newest, nil // our own, or its blocks will not be here
	case n.head == nil || !n.head.Whole:
		return newest, fmt.Errorf("its newest version is not whole here: %w", ErrNotFound)
	case n.head.Envelope.Cid == newest.Value:
		return newest, nil
	}
	return ipns.Open(name, n.head.Record)
}

// Import reads a CAR as Export writes it: verifies the record, then every
// block before it is kept, follows the name, and has the version accepted and
// pinned as Sync does, without any peer. What was kept before an error or a
// cut stays, and is not written again. The error wraps ErrVerify for a file
// that is damaged or not as it should be, or a version that is refused;
// ErrNotFound for one that lacks blocks, or whose record has ended.
func (f *Follower) Import(ctx context.Context, r io.Reader, progress func(Carried)) (Carried, *Catalogue, error) {
	f.collecting.RLock() // what is being imported, nothing pins
	defer f.collecting.RUnlock()
	var out Carried
	if err := f.load(ctx, bufio.NewReaderSize(r, 1<<20), &out, progress); err != nil {
		return out, nil, fmt.Errorf("import: %w", kindOf(err))
	}
	c, err := f.Sync(ctx, out.Name, Options{Local: true})
	if err != nil {
		return out, nil, fmt.Errorf("import: %w", err)
	}
	return out, c, nil
}

// load keeps a file's blocks, once its record was accepted.
func (f *Follower) load(ctx context.Context, r *bufio.Reader, out *Carried, progress func(Carried)) error {
	head, record, err := readCARHeader(r)
	if err != nil {
		return err
	}
	first, err := readSection(r)
	if err != nil {
		return fmt.Errorf("the record's block: %w", unexpected(err))
	}
	if first.CID != record {
		return refuse("a CAR whose first block is %s, not its record", first.CID)
	}
	name, raw, err := decodeRecord(first.Data)
	if err != nil {
		return err
	}
	rec, err := ipns.Open(name, raw)
	if err != nil {
		return err
	}
	if rec.Value != head {
		return refuse("a CAR of %s with a record that points at %s", head, rec.Value)
	}
	if _, _, err := f.cfg.Names.Accept(name, raw); err != nil {
		return err
	}
	if err := f.take(name, manifests.Link{Name: manifests.Name(name)}); err != nil {
		return err
	}
	out.Name, out.Envelope, out.Blocks, out.Bytes = name, head, 1, int64(len(first.Data))
	var batch []node.Block
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := f.cfg.Blocks.Put(ctx, batch...)
		batch, size = batch[:0], 0
		return err
	}
	for {
		b, err := readSection(r)
		if err == io.EOF {
			return flush()
		}
		if err != nil {
			return errors.Join(err, flush())
		}
		out.Blocks++
		out.Bytes += int64(len(b.Data))
		if has, err := f.cfg.Blocks.Has(ctx, b.CID); err != nil {
			return err
		} else if !has {
			out.Fresh++
			batch = append(batch, b)
			if size += len(b.Data); size >= importBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if progress != nil {
			progress(*out)
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(err, flush())
		}
	}
}

// readCARHeader takes the header that Export writes and no other.
func readCARHeader(r *bufio.Reader) (head, record cid.Cid, err error) {
	size, err := binary.ReadUvarint(r)
	if err != nil || size > maxCARHeader {
		return head, record, refuse("no CAR: a header of %d bytes", size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return head, record, refuse("no CAR: its header is cut")
	}
	roots, err := node.Links(node.NewBlock(cid.DagCBOR, nil).CID, data)
	if err != nil || len(roots) != 2 || !bytes.Equal(data, carHeader(roots[0], roots[1])) {
		return head, record, refuse("no CAR of a catalogue: its header is not of version 1 with a head and a record")
	}
	for _, c := range roots {
		if !manifests.PlainCID(c, cid.DagCBOR) {
			return head, record, refuse("a CAR's root %s", c)
		}
	}
	return roots[0], roots[1], nil
}

// readSection reads one block and verifies it; io.EOF at the file's end.
func readSection(r *bufio.Reader) (b node.Block, err error) {
	if _, err := r.Peek(1); err != nil {
		return b, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return b, unexpected(err)
	}
	if size == 0 || size > node.MaxBlock+maxCID {
		return b, refuse("a CAR's section of %d bytes", size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return b, unexpected(err)
	}
	n, c, err := cid.CidFromBytes(data)
	if err != nil {
		return b, refuse("a CAR's section: %v", err)
	}
	b = node.Block{CID: c, Data: data[n:]}
	if err := node.Verify(b.CID, b.Data); err != nil {
		return b, fmt.Errorf("%w: %w", ErrVerify, err)
	}
	return b, nil
}

// unexpected says that a file ends where it should not.
func unexpected(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return refuse("the CAR is cut short")
	}
	return err
}

// carHeader is {roots: [head, record], version: 1} in dag-cbor.
func carHeader(head, record cid.Cid) []byte {
	b := []byte("\xa2\x65roots\x82")
	for _, c := range []cid.Cid{head, record} {
		id := c.Bytes()
		b = append(b, 0xd8, 0x2a, 0x58, byte(1+len(id)), 0)
		b = append(b, id...)
	}
	return append(b, "\x67version\x01"...)
}

// encodeRecord is {name: k51 text, record: bytes} in dag-cbor.
func encodeRecord(rec ipns.Record) node.Block {
	b := append([]byte("\xa2\x64name\x78"), byte(len(rec.Name)))
	b = append(b, rec.Name...)
	b = binary.BigEndian.AppendUint16(append(b, "\x66record\x59"...), uint16(len(rec.Raw)))
	return node.NewBlock(cid.DagCBOR, append(b, rec.Raw...))
}

// decodeRecord takes what encodeRecord makes and nothing else.
func decodeRecord(data []byte) (ipns.Name, []byte, error) {
	rest, ok := bytes.CutPrefix(data, []byte("\xa2\x64name\x78"))
	if !ok || len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return "", nil, refuse("the record's block of a CAR")
	}
	text, rest := string(rest[1:1+rest[0]]), rest[1+rest[0]:]
	name, err := ipns.ParseName(text)
	if err != nil || string(name) != text {
		return "", nil, refuse("the record's block of a CAR: name %.80q", text)
	}
	raw, ok := bytes.CutPrefix(rest, []byte("\x66record\x59"))
	if !ok || len(raw) < 2 || int(binary.BigEndian.Uint16(raw)) != len(raw)-2 || len(raw)-2 > ipns.MaxRecord {
		return "", nil, refuse("the record's block of a CAR: its record")
	}
	raw = raw[2:]
	if !bytes.Equal(encodeRecord(ipns.Record{Name: name, Raw: raw}).Data, data) {
		return "", nil, refuse("the record's block of a CAR is not canonical")
	}
	return name, raw, nil
}
