package daemon

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/publisher"
)

// leaseProtocol carries a request to its DJ. One stream is one question and
// one answer; integers are big-endian:
//
//	question  len:4 request file
//	answer    status:1 count:2 (len:4 grant file)*
//
// Status 0: this peer is not that DJ; 1: pending; 2: approved, here are the
// grants; 3: refused, or beyond what is on offer.
const leaseProtocol = "/playnode/lease/1.0.0"

const (
	leaseNotMine = iota
	leasePending
	leaseApproved
	leaseRefused
)

// leasePatience bounds one exchange; a hook may think in it.
const leasePatience = hookTime + 10*time.Second

// serveRequests answers requests from anyone.
func (d *Daemon) serveRequests(n *network) {
	n.node.Handle(leaseProtocol, func(peer string, s node.Stream) {
		s.SetDeadline(time.Now().Add(leasePatience)) // sockets know only the wall clock
		status, files, err := d.answerRequest(n, s)
		if err != nil {
			d.log.Debug("request from peer", "peer", peer, "err", err)
			s.Reset()
			return
		}
		a := binary.BigEndian.AppendUint16([]byte{status}, uint16(len(files)))
		for _, f := range files {
			a = append(binary.BigEndian.AppendUint32(a, uint32(len(f))), f...)
		}
		if _, err := s.Write(a); err != nil {
			s.Reset()
			return
		}
		s.Close()
	})
}

func (d *Daemon) answerRequest(n *network, s io.Reader) (status byte, files [][]byte, err error) {
	file, err := readFile(s)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), leasePatience)
	defer cancel()
	r, err := d.received(ctx, n, file)
	switch {
	case errors.Is(err, lease.ErrNotYours):
		return leaseNotMine, nil, nil
	case err != nil:
		d.log.Info("request refused", "err", err)
		return leaseRefused, nil, nil
	case r.State == publisher.Refused:
		return leaseRefused, nil, nil
	case r.State == publisher.Pending:
		d.log.Info("request waits: playnode lease approve "+r.ID.String(), "playlist", r.Label, "devices", len(r.Devices))
		return leasePending, nil, nil
	}
	for _, g := range r.Leases {
		if g.File != nil {
			files = append(files, g.File)
		}
	}
	return leaseApproved, files, nil
}

func readFile(r io.Reader) ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(h[:])
	if size > manifests.MaxGrantFile {
		return nil, fmt.Errorf("file of %d bytes", size)
	}
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}

// AskRequest asks for a lease of NAME/P.
type AskRequest struct {
	Name string        `json:"name"`
	For  time.Duration `json:"for,omitempty"`
	From int64         `json:"from,omitempty"`
	// Devices are the text forms of more boxes of this venue's.
	Devices []string    `json:"devices,omitempty"`
	Payref  string      `json:"payref,omitempty"`
	Offline bool        `json:"offline,omitempty"` // make the file, send nothing
	Node    NodeRequest `json:"node"`
}

// askedRow is a request that was made, to be sent again as it is.
type askedRow struct {
	Env, Payload, File []byte
	Wish               AskRequest
}

// leaseRequest asks a DJ for a lease, on the offer that her newest version has.
func (d *Daemon) leaseRequest(ctx context.Context, req AskRequest, emit func(Event)) (Requested, error) {
	n, err := d.net()
	if err != nil {
		return Requested{}, err
	}
	c, s, err := d.selection(n, req.Name)
	if err != nil {
		return Requested{}, err
	}
	offer, o, err := d.offerOf(ctx, func(ctx context.Context, c cid.Cid) ([]byte, error) {
		return n.fetch.Get(ctx, c, node.Want{Class: node.Now})
	}, c, s)
	if err != nil {
		return Requested{}, err
	}
	for i, text := range req.Devices {
		if req.Devices[i], err = d.deviceText(ctx, n, text, req.Node); err != nil {
			return Requested{}, err
		}
	}
	row, r, err := d.asked(c, s, offer, req)
	if err != nil {
		return Requested{}, err
	}
	id := manifests.Digest(manifests.NewBlock(row.Payload).CID)
	out := Requested{
		Request: hex.EncodeToString(id[:16]), DJ: c.DJ.String(), Playlist: s.Label, Venue: r.Venue.String(), Devices: len(r.Devices),
		For: r.Len, At: time.Unix(r.IAT, 0).UTC(), Price: Price(o.Cost(r.Len, len(r.Devices))), Payref: req.Payref,
		State: "unsent", Leases: []Granted{}, Blob: row.File,
	}
	if req.Offline {
		return out, nil
	}
	if err := d.connect(ctx, n, req.Node.Peers); err != nil {
		emit(Event{Note: err.Error()})
	}
	n.follow.Reach(ctx, c.Name)
	return d.send(ctx, n, out)
}

// send tries every peer, of whom one may be the DJ.
func (d *Daemon) send(ctx context.Context, n *network, out Requested) (Requested, error) {
	type answer struct {
		status byte
		files  [][]byte
	}
	peers := n.node.Connected()
	answers := make(chan answer, len(peers))
	ctx, cancel := context.WithTimeout(ctx, leasePatience)
	defer cancel()
	for _, p := range peers {
		go func() {
			status, files, err := d.talk(ctx, n, p, out.Blob)
			if err != nil {
				d.log.Debug("send request", "peer", p, "err", err)
			}
			answers <- answer{status, files}
		}()
	}
	for range peers {
		a := <-answers
		if a.status == leaseNotMine {
			continue
		}
		out.State = map[byte]string{leasePending: "pending", leaseApproved: "approved", leaseRefused: "refused"}[a.status]
		for _, f := range a.files {
			l, err := d.venue.Import(f)
			if errors.Is(err, lease.ErrNotYours) {
				continue
			}
			if err != nil && !errors.Is(err, lease.ErrOld) {
				return out, err
			}
			out.Leases = append(out.Leases, Granted{Leased: d.held(l)})
			n.search.changed()
		}
		return out, nil
	}
	return out, nil
}

// askingAgain bounds how long play waits for the answer to a request.
const askingAgain = 10 * time.Second

// askAgain sends requests that wait for an answer once more, as they are, and
// tells whether a lease came of it.
func (d *Daemon) askAgain(ctx context.Context, n *network, emit func(Event)) (leased bool) {
	ctx, cancel := context.WithTimeout(ctx, askingAgain)
	defer cancel()
	djs := map[string]ipns.Name{}
	for _, f := range n.follow.Follows() {
		djs[f.DJ] = f.Name
	}
	var waiting []askedRow
	err := d.repo.Bucket("requests").Each("", func(key string, value []byte) error {
		dj, _, _ := strings.Cut(key, "/")
		var row askedRow
		if _, ok := djs[dj]; !ok || json.Unmarshal(value, &row) != nil {
			return nil // a copy for receipts, or a name that is not followed any more
		}
		waiting = append(waiting, row)
		return nil
	})
	if err != nil {
		d.log.Error("read requests", "err", err)
	}
	for _, row := range waiting {
		r, err := manifests.DecodeRequest(row.Payload)
		if err != nil || d.grantedFor(row.Payload) || r.IAT < d.now().Unix()-29*manifests.Day {
			continue
		}
		emit(Event{Note: "asking the DJ whether the request was approved"})
		n.follow.Reach(ctx, djs[r.DJ.String()])
		out, err := d.send(ctx, n, Requested{Blob: row.File})
		if err != nil {
			d.log.Warn("ask again", "err", err)
		}
		leased = leased || len(out.Leases) > 0
	}
	return leased
}

func (d *Daemon) talk(ctx context.Context, n *network, peer string, file []byte) (status byte, files [][]byte, err error) {
	s, err := n.node.Open(ctx, peer, leaseProtocol)
	if err != nil {
		return 0, nil, err
	}
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if _, err = s.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(file))), file...)); err == nil {
		err = s.CloseWrite()
	}
	var h [3]byte
	if err == nil {
		_, err = io.ReadFull(s, h[:])
	}
	if err == nil && h[0] > leaseRefused {
		err = fmt.Errorf("unknown status %d", h[0])
	}
	for range binary.BigEndian.Uint16(h[1:]) {
		var f []byte
		if err != nil || len(files) == manifests.MaxDevices {
			break
		}
		if f, err = readFile(s); err == nil {
			files = append(files, f)
		}
	}
	if err != nil {
		s.Reset()
		return 0, nil, err
	}
	return h[0], files, s.Close()
}

// selection finds NAME/P, or a link, in what is followed here.
func (d *Daemon) selection(n *network, name string) (*follow.Catalogue, *follow.Selection, error) {
	c, err := d.catalogue(n, name)
	if err != nil {
		return nil, nil, err
	}
	l, err := manifests.ParseLink(name)
	if err != nil {
		return nil, nil, usage("%v", err)
	}
	if l.Label == "" && len(c.Selections) == 1 {
		return c, &c.Selections[0], nil
	}
	s, ok := c.Selection(l.Label)
	if !ok {
		var labels []string
		for _, s := range c.Selections {
			labels = append(labels, c.Name.String()+"/"+s.Label)
		}
		return nil, nil, usage("%s has no playlist %q; it has %s", c.Name, l.Label, strings.Join(labels, ", "))
	}
	return c, s, nil
}

// offerOf is what a selection's manifest offers.
func (d *Daemon) offerOf(ctx context.Context, get func(context.Context, cid.Cid) ([]byte, error), c *follow.Catalogue, s *follow.Selection) (manifests.Signed, *manifests.Offer, error) {
	for _, link := range s.Manifest.Offers {
		env, err := get(ctx, link)
		if err != nil {
			return manifests.Signed{}, nil, fmt.Errorf("read offer: %w", err)
		}
		e, err := manifests.OpenEnvelope(env)
		if err != nil {
			return manifests.Signed{}, nil, fmt.Errorf("read offer: %w: %w", follow.ErrVerify, err)
		}
		payload, err := get(ctx, e.Payload)
		if err != nil {
			return manifests.Signed{}, nil, fmt.Errorf("read offer: %w", err)
		}
		signed := manifests.Signed{Env: manifests.NewBlock(env), Payload: manifests.NewBlock(payload)}
		o, err := c.Chain.OpenOffer(signed)
		if err != nil {
			return manifests.Signed{}, nil, fmt.Errorf("read offer: %w: %w", follow.ErrVerify, err)
		}
		if o.Sel == s.ID && o.Exp > d.now().Unix() {
			return signed, o, nil
		}
	}
	return manifests.Signed{}, nil, &Error{Kind: Failed, Message: fmt.Sprintf("nothing is on offer for %q; give the DJ this box's device (playnode id)", s.Label)}
}

// asked is the request for a wish: the one made before, while it waits for an
// answer, or a new one.
func (d *Daemon) asked(c *follow.Catalogue, s *follow.Selection, offer manifests.Signed, req AskRequest) (askedRow, *manifests.Request, error) {
	var row askedRow
	store := d.repo.Bucket("requests")
	key := c.DJ.String() + "/" + s.ID.String()
	wish := req
	wish.Node, wish.Offline, wish.Name = NodeRequest{}, false, ""
	now := d.now().Unix()
	old, err := store.Get(key)
	if err != nil {
		return row, nil, err
	}
	if old != nil {
		if err := json.Unmarshal(old, &row); err != nil {
			return row, nil, fmt.Errorf("read request: %w", err)
		}
		r, err := manifests.DecodeRequest(row.Payload)
		if err != nil {
			return row, nil, fmt.Errorf("read request: %w", err)
		}
		same, _ := json.Marshal(row.Wish)
		want, _ := json.Marshal(wish)
		if string(same) == string(want) && r.Offer == manifests.Digest(offer.Payload.CID) && r.IAT > now-29*manifests.Day && !d.grantedFor(row.Payload) {
			return row, r, nil
		}
	}
	w := lease.Wish{Offer: offer, Start: req.From, Len: int64(req.For / time.Second)}
	if req.Payref != "" {
		w.Payref = &req.Payref
	}
	for _, text := range req.Devices {
		_, dev, err := manifests.ParseDevice(text)
		if err != nil {
			return row, nil, usage("%v", err)
		}
		w.Devices = append(w.Devices, dev)
	}
	signed, file, err := d.device.Request(c.Chain, now, w)
	if errors.Is(err, lease.ErrRefused) {
		return row, nil, usage("%v", err)
	}
	if err != nil {
		return row, nil, err
	}
	row = askedRow{Env: signed.Env.Data, Payload: signed.Payload.Data, File: file, Wish: wish}
	b, err := json.Marshal(row)
	if err == nil {
		id := manifests.Digest(signed.Payload.CID)
		err = store.Apply(map[string][]byte{key: b, "made/" + hex.EncodeToString(id[:]): b}, nil)
	}
	if err != nil {
		return row, nil, fmt.Errorf("keep request: %w", err)
	}
	r, err := manifests.DecodeRequest(row.Payload)
	return row, r, err
}

// grantedFor tells whether a lease here answers a request.
func (d *Daemon) grantedFor(payload []byte) bool {
	id := manifests.Digest(manifests.NewBlock(payload).CID)
	for _, l := range d.venue.Leases() {
		if l.Grant.Req != nil && *l.Grant.Req == id {
			return true
		}
	}
	return false
}

// ShowRequest names a lease.
type ShowRequest struct {
	Lease string `json:"lease"`
}

// Receipt is a lease, and what both sides have signed of it.
type Receipt struct {
	Leased
	Price   *Price   `json:"price"`
	Payref  string   `json:"payref,omitempty"`
	Grace   int64    `json:"grace"` // seconds, within Until
	Grant   Record   `json:"grant"`
	Request *Record  `json:"request"`
	Keys    []uint64 `json:"keys,omitempty"` // periods whose keys came with it, first and last
}

// Record is a signed record: anyone can verify it.
type Record struct {
	CID      string `json:"cid"` // of the payload: its identity
	Envelope []byte `json:"envelope"`
	Payload  []byte `json:"payload"`
}

func record(s manifests.Signed) Record {
	return Record{s.Payload.CID.String(), s.Env.Data, s.Payload.Data}
}

// leaseShow is a lease's receipt, on either side.
func (d *Daemon) leaseShow(_ context.Context, req ShowRequest, _ func(Event)) (Receipt, error) {
	n, err := d.net()
	if err != nil {
		return Receipt{}, err
	}
	ids, err := leaseIDs([]string{req.Lease})
	if err != nil {
		return Receipt{}, err
	}
	var out Receipt
	for _, l := range d.venue.Leases() {
		if l.ID != ids[0] {
			continue
		}
		out = Receipt{Leased: d.held(l), Grant: record(l.Signed)}
		if l.Grant.Req != nil {
			b, err := d.repo.Bucket("requests").Get("made/" + hex.EncodeToString(l.Grant.Req[:]))
			var row askedRow
			if err == nil && b != nil {
				err = json.Unmarshal(b, &row)
			}
			if err != nil {
				return out, fmt.Errorf("read request: %w", err)
			}
			if row.Payload != nil {
				r := record(manifests.Signed{Env: manifests.NewBlock(row.Env), Payload: manifests.NewBlock(row.Payload)})
				out.Request = &r
			}
		}
	}
	if out.Lease == "" {
		r, err := n.publisher.Receipt(ids[0])
		if err != nil {
			return out, terms(err)
		}
		out = Receipt{Leased: d.granted(r.Lease), Grant: record(r.Grant)}
		if r.Request != nil {
			x := record(*r.Request)
			out.Request = &x
		}
	}
	g, err := manifests.DecodeGrant(out.Grant.Payload)
	if err != nil {
		return out, err
	}
	out.Grace = g.Grace
	if g.Price != nil {
		p := Price(*g.Price)
		out.Price = &p
	}
	if g.Payref != nil {
		out.Payref = *g.Payref
	}
	if g.Win != nil {
		out.Keys = []uint64{g.Win.First, g.Win.Last}
	}
	return out, nil
}
