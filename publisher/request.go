package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"playnode/lease"
	"playnode/manifests"
)

// ErrNoRequest says that no request of that id came here.
var ErrNoRequest = errors.New("no such request")

// State is how a request stands.
type State string

const (
	Pending  State = "pending"
	Approved State = "approved"
	Refused  State = "refused"
)

// maxPending bounds the requests of strangers that wait for an answer.
const maxPending = 256

// RequestID names a request: the first half of its payload's digest.
type RequestID [16]byte

// String is hexadecimal.
func (r RequestID) String() string { return hex.EncodeToString(r[:]) }

// Request is a venue's request as the DJ sees it.
type Request struct {
	ID      RequestID
	Label   string
	Devices []manifests.Key
	Price   manifests.Price // of all devices
	manifests.Request
	State  State
	Leases []Granted // once it is approved
	Rule   Rule
	Hook   string
}

type requestRow struct {
	Env, Payload []byte
	Label        string
	State        State
	Leases       [][]byte
}

const (
	rowOffer   = "offer/"
	rowRequest = "request/"
	rowPayref  = "payref/"
)

func (p *Publisher) requestRow(id RequestID) (*requestRow, error) {
	r := new(requestRow)
	ok, err := load(p.cfg.Store, rowRequest+id.String(), r)
	if err != nil || !ok {
		return nil, err
	}
	return r, nil
}

// Receive takes in a request file, from anyone. A request that came before is
// found as it stands now. One that its offer's rule approves is approved; one
// of ByHook is left to the caller, who asks the program and then calls Approve
// or Refuse. Errors wrap lease.ErrNotYours, ErrRefused or ErrFuture, or
// ErrTerms where no offer stands that it names.
func (p *Publisher) Receive(ctx context.Context, file []byte) (Request, error) {
	r, err := p.receive(ctx, file)
	if err != nil {
		return Request{}, fmt.Errorf("receive request: %w", err)
	}
	return r, nil
}

func (p *Publisher) receive(ctx context.Context, file []byte) (Request, error) {
	k := p.cfg.Keys
	s, r, _, err := lease.OpenRequest(k.request(), k.DJ(), p.cfg.Now().Unix(), file)
	if err != nil {
		return Request{}, err
	}
	d := manifests.Digest(s.Payload.CID)
	id := RequestID(d[:16])
	p.mu.Lock()
	defer p.mu.Unlock()
	if row, err := p.requestRow(id); err != nil {
		return Request{}, err
	} else if row != nil {
		return p.request(id, row)
	}
	o, err := p.standing(r)
	if err != nil {
		return Request{}, err
	}
	pending := 0
	if err := p.cfg.Store.Each(rowRequest, func(key string, value []byte) error {
		var row requestRow
		if err := json.Unmarshal(value, &row); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if row.State == Pending {
			pending++
		}
		return nil
	}); err != nil {
		return Request{}, err
	}
	if pending >= maxPending {
		return Request{}, fmt.Errorf("%d requests wait already: %w", pending, ErrTerms)
	}
	row := &requestRow{Env: s.Env.Data, Payload: s.Payload.Data, Label: o.Label, State: Pending}
	if err := p.cfg.Store.Put(rowRequest+id.String(), marshal(row)); err != nil {
		return Request{}, err
	}
	if o.Rule == Always {
		return p.approve(ctx, id, row)
	}
	return p.request(id, row)
}

// standing is the offer that a request names, if it stands and allows it.
func (p *Publisher) standing(r *manifests.Request) (Offer, error) {
	offers, err := p.Offers()
	if err != nil {
		return Offer{}, err
	}
	for _, o := range offers {
		payload, err := o.Encode()
		if err != nil {
			return Offer{}, err
		}
		if sha256.Sum256(payload) == r.Offer {
			return o, lease.Fits(&o.Offer, r)
		}
	}
	return Offer{}, fmt.Errorf("%w: the offer no longer stands; ask again", ErrTerms)
}

// asked is what a row says was asked for.
func (p *Publisher) asked(id RequestID, row *requestRow) (Request, error) {
	r, devices, err := manifests.OpenRequest(signedRow{row.Env, row.Payload}.signed())
	if err != nil {
		return Request{}, err
	}
	out := Request{ID: id, Label: row.Label, State: row.State, Request: *r}
	for _, d := range devices {
		out.Devices = append(out.Devices, d.K)
	}
	if o, err := p.standing(r); err == nil {
		out.Price, out.Rule, out.Hook = o.Cost(r.Len, len(devices)), o.Rule, o.Hook
	}
	return out, nil
}

// request is that, with the leases that came of it.
func (p *Publisher) request(id RequestID, row *requestRow) (Request, error) {
	out, err := p.asked(id, row)
	if err != nil || len(row.Leases) == 0 {
		return out, err
	}
	leases, err := p.leases()
	if err != nil {
		return Request{}, err
	}
	_, sel, err := p.selection(row.Label)
	if err != nil {
		return Request{}, err
	}
	out.Leases = make([]Granted, len(row.Leases))
	return out, each(len(row.Leases), func(i int) error {
		g := leases[manifests.LeaseID(row.Leases[i])]
		if g == nil {
			return fmt.Errorf("lease %x: %w", row.Leases[i], ErrNoSuchLease)
		}
		file, err := p.file(sel, g)
		out.Leases[i] = Granted{g.lease(), file}
		return err
	})
}

// file is a lease's newest grant as a file; nil where its keys are no longer
// the selection's: then the mailbox has it.
func (p *Publisher) file(sel lease.Selection, row *leaseRow) ([]byte, error) {
	t, err := row.tenant(p.cfg.Keys.Name())
	if err != nil {
		return nil, err
	}
	file, err := sel.File(t, p.cfg.Keys.roots())
	if errors.Is(err, lease.ErrRefused) {
		return nil, nil
	}
	return file, err
}

// Requests lists what was asked for, the newest first.
func (p *Publisher) Requests() ([]Request, error) {
	rows := map[RequestID]*requestRow{}
	err := p.cfg.Store.Each(rowRequest, func(key string, value []byte) error {
		b, err := hex.DecodeString(key[len(rowRequest):])
		if err != nil || len(b) != len(RequestID{}) {
			return fmt.Errorf("read %s: not a request's id", key)
		}
		row := new(requestRow)
		rows[RequestID(b)] = row
		return json.Unmarshal(value, row)
	})
	if err != nil {
		return nil, err
	}
	var out []Request
	for id, row := range rows {
		r, err := p.request(id, row)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Request) int {
		if a.IAT != b.IAT {
			return int(b.IAT - a.IAT)
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out, nil
}

// Approve grants what a request asks for: a lease for each of its devices,
// published as Grant does. It is done once: again it finds what was granted
// then. ErrTerms where its offer no longer stands, it is too old, or its
// payref has approved another.
func (p *Publisher) Approve(ctx context.Context, id RequestID) (Request, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row, err := p.requestRow(id)
	if err == nil && row == nil {
		err = ErrNoRequest
	}
	var r Request
	if err == nil {
		r, err = p.approve(ctx, id, row)
	}
	if err != nil {
		return Request{}, fmt.Errorf("approve %s: %w", id, err)
	}
	return r, nil
}

func (p *Publisher) approve(ctx context.Context, id RequestID, row *requestRow) (Request, error) {
	if row.State == Approved {
		return p.request(id, row)
	}
	if err := p.settled(ctx); err != nil {
		return Request{}, err
	}
	r, devices, err := manifests.OpenRequest(signedRow{row.Env, row.Payload}.signed())
	if err != nil {
		return Request{}, err
	}
	o, err := p.standing(r)
	if err != nil {
		return Request{}, err
	}
	now := p.cfg.Now().Unix()
	if r.IAT < now-30*manifests.Day {
		return Request{}, fmt.Errorf("%w: it is over 30 days old; the venue must ask again", ErrTerms)
	}
	approved := *row
	approved.State = Approved
	e := edit{puts: map[string][]byte{}}
	if r.Payref != nil {
		sum := sha256.Sum256([]byte(*r.Payref))
		key := rowPayref + hex.EncodeToString(sum[:])
		used, err := p.cfg.Store.Get(key)
		if err != nil {
			return Request{}, err
		}
		if used != nil && string(used) != id.String() {
			return Request{}, fmt.Errorf("%w: its payment %q has approved another request", ErrTerms, *r.Payref)
		}
		e.puts[key] = []byte(id.String())
	}
	from := max(r.Start, now)
	price := o.Cost(r.Len, 1)
	req := sha256.Sum256(row.Payload)
	for i, d := range devices {
		l := &leaseRow{
			Device: d.K[:], Label: row.Label, DeviceText: manifests.DeviceText(r.Devices[i]), From: from, Until: from + r.Len,
			Grace: o.Grace, Window: o.Window, Venue: r.Venue[:], Req: req[:], Price: &price, Payref: r.Payref,
		}
		e.leases = append(e.leases, l)
	}
	files, err := p.draw(e.leases, now)
	if err != nil {
		return Request{}, err
	}
	for _, l := range e.leases {
		approved.Leases = append(approved.Leases, l.Lease)
	}
	e.puts[rowRequest+id.String()] = marshal(approved)
	if err := p.commit(ctx, e); err != nil {
		return Request{}, err
	}
	out, err := p.asked(id, &approved)
	for i, l := range e.leases {
		out.Leases = append(out.Leases, Granted{l.lease(), files[i]})
	}
	return out, err
}

// Refuse says no to a request that is pending.
func (p *Publisher) Refuse(id RequestID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	row, err := p.requestRow(id)
	switch {
	case err != nil:
	case row == nil:
		err = ErrNoRequest
	case row.State == Approved:
		err = fmt.Errorf("%w: it was approved; revoke its lease", ErrTerms)
	default:
		row.State = Refused
		err = p.cfg.Store.Put(rowRequest+id.String(), marshal(row))
	}
	if err != nil {
		return fmt.Errorf("refuse %s: %w", id, err)
	}
	return nil
}

// Receipt is what both sides have signed of a lease.
type Receipt struct {
	Lease   Lease
	Grant   manifests.Signed
	Request *manifests.Signed // nil where none was made
}

// Receipt finds a lease's.
func (p *Publisher) Receipt(id manifests.LeaseID) (Receipt, error) {
	rows, err := p.pick([]manifests.LeaseID{id})
	if err != nil {
		return Receipt{}, err
	}
	r := rows[0]
	out := Receipt{Lease: r.lease(), Grant: signedRow{r.Env, r.Payload}.signed()}
	if len(r.Req) == 32 {
		row, err := p.requestRow(RequestID(r.Req[:16]))
		if err != nil {
			return Receipt{}, err
		}
		if row != nil {
			s := signedRow{row.Env, row.Payload}.signed()
			out.Request = &s
		}
	}
	return out, nil
}
