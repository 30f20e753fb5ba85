package daemon

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"playnode/manifests"
	"playnode/publisher"
)

// Operations of offers and requests.
const (
	OpOfferSet     Op[OfferRequest, Offered]     = "offer-set"
	OpOffers       Op[struct{}, []Offered]       = "offers"
	OpRequests     Op[struct{}, []Requested]     = "requests"
	OpLeaseApprove Op[ApproveRequest, Requested] = "lease-approve"
	OpLeaseRefuse  Op[ApproveRequest, Requested] = "lease-refuse"
	OpLeaseRequest Op[AskRequest, Requested]     = "lease-request"
	OpLeaseShow    Op[ShowRequest, Receipt]      = "lease-show"
)

// Price is an amount in minor units of an ISO 4217 currency.
type Price struct {
	Amount   uint64 `json:"amount"`
	Currency string `json:"currency"`
}

// OfferRequest puts a playlist on offer; zero fields have defaults.
type OfferRequest struct {
	Playlist string        `json:"playlist"`
	Price    Price         `json:"price"`
	Per      time.Duration `json:"per"`
	Min      time.Duration `json:"min,omitempty"`
	Max      time.Duration `json:"max,omitempty"`
	Grace    time.Duration `json:"grace,omitempty"`
	Window   time.Duration `json:"window,omitempty"`
	Devices  int           `json:"devices,omitempty"`
	// Approve is "hand", "always" or "hook"; Hook the program that is asked.
	Approve string `json:"approve,omitempty"`
	Hook    string `json:"hook,omitempty"`
}

// Offered is what is on offer. Lengths are in seconds.
type Offered struct {
	Playlist string    `json:"playlist"`
	Price    Price     `json:"price"`
	Per      int64     `json:"per"`
	Min      int64     `json:"min"`
	Max      int64     `json:"max"`
	Grace    int64     `json:"grace"`
	Devices  uint64    `json:"devices"`
	Until    time.Time `json:"until"`
	Approve  string    `json:"approve,omitempty"`
}

// Requested is a request for a lease.
type Requested struct {
	Request  string    `json:"request"`
	DJ       string    `json:"dj"`
	Playlist string    `json:"playlist"`
	Venue    string    `json:"venue"`
	Devices  int       `json:"devices"`
	For      int64     `json:"for"` // seconds
	At       time.Time `json:"at"`
	Price    Price     `json:"price"`
	Payref   string    `json:"payref,omitempty"`
	// State is "pending", "approved" or "refused"; "unsent" where no peer is
	// the DJ.
	State  string    `json:"state"`
	Leases []Granted `json:"leases"`
	// Blob is the request as a file.
	Blob []byte `json:"blob,omitempty"`
}

// ApproveRequest names a request by id, or brings it as a file.
type ApproveRequest struct {
	Request string `json:"request,omitempty"`
	Blob    []byte `json:"blob,omitempty"`
}

func (d *Daemon) offerSet(ctx context.Context, req OfferRequest, _ func(Event)) (Offered, error) {
	n, err := d.net()
	if err != nil {
		return Offered{}, err
	}
	o, err := n.publisher.SetOffer(ctx, publisher.OfferTerms{
		Playlist: req.Playlist, Price: manifests.Price(req.Price), Per: req.Per, Min: req.Min, Max: req.Max,
		Grace: req.Grace, Window: req.Window, Devices: req.Devices, Rule: publisher.Rule(req.Approve), Hook: req.Hook,
	})
	if err != nil {
		return Offered{}, terms(err)
	}
	return offered(o), nil
}

func offered(o publisher.Offer) Offered {
	return Offered{
		Playlist: o.Label, Price: Price(o.Price), Per: o.Per, Min: o.Min, Max: o.Max, Grace: o.Grace, Devices: o.Devices,
		Until: time.Unix(o.Exp, 0).UTC(), Approve: string(o.Rule),
	}
}

func (d *Daemon) offers(context.Context, struct{}, func(Event)) ([]Offered, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	all, err := n.publisher.Offers()
	if err != nil {
		return nil, err
	}
	out := []Offered{}
	for _, o := range all {
		out = append(out, offered(o))
	}
	return out, nil
}

func (d *Daemon) requests(context.Context, struct{}, func(Event)) ([]Requested, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	all, err := n.publisher.Requests()
	if err != nil {
		return nil, err
	}
	out := []Requested{}
	for _, r := range all {
		out = append(out, d.requested(r))
	}
	return out, nil
}

// requested is a request as its DJ sees it.
func (d *Daemon) requested(r publisher.Request) Requested {
	out := Requested{
		Request: r.ID.String(), DJ: r.DJ.String(), Playlist: r.Label, Venue: r.Venue.String(), Devices: len(r.Devices), For: r.Len,
		At: time.Unix(r.IAT, 0).UTC(), Price: Price(r.Price), State: string(r.State), Leases: []Granted{},
	}
	if r.Payref != nil {
		out.Payref = *r.Payref
	}
	for _, g := range r.Leases {
		out.Leases = append(out.Leases, Granted{Leased: d.granted(g.Lease), Blob: g.File})
	}
	return out
}

// named is the request that an ApproveRequest names; a file is taken in.
func (d *Daemon) named(ctx context.Context, n *network, req ApproveRequest) (publisher.RequestID, error) {
	if len(req.Blob) > 0 {
		r, err := n.publisher.Receive(ctx, req.Blob)
		return r.ID, err
	}
	b, err := hex.DecodeString(req.Request)
	if err != nil || len(b) != len(publisher.RequestID{}) {
		return publisher.RequestID{}, usage("%.80q is neither a request's id (playnode lease ls shows them) nor a file", req.Request)
	}
	return publisher.RequestID(b), nil
}

func (d *Daemon) leaseApprove(ctx context.Context, req ApproveRequest, _ func(Event)) (Requested, error) {
	n, err := d.net()
	if err != nil {
		return Requested{}, err
	}
	id, err := d.named(ctx, n, req)
	if err != nil {
		return Requested{}, terms(err)
	}
	r, err := n.publisher.Approve(ctx, id)
	if err != nil {
		return Requested{}, terms(err)
	}
	return d.requested(r), nil
}

func (d *Daemon) leaseRefuse(ctx context.Context, req ApproveRequest, emit func(Event)) (Requested, error) {
	n, err := d.net()
	if err != nil {
		return Requested{}, err
	}
	id, err := d.named(ctx, n, req)
	if err == nil {
		err = n.publisher.Refuse(id)
	}
	if err != nil {
		return Requested{}, terms(err)
	}
	all, err := d.requests(ctx, struct{}{}, emit)
	if err != nil {
		return Requested{}, err
	}
	for _, r := range all {
		if r.Request == id.String() {
			return r, nil
		}
	}
	return Requested{}, terms(publisher.ErrNoRequest)
}

// hookTime bounds how long a hook may think, in which the venue waits.
const hookTime = 30 * time.Second

// received takes in a request and, where a program is to approve it, asks
// that: it gets the request as JSON on stdin, and exit 0 approves. Any other
// leaves the request to the DJ.
func (d *Daemon) received(ctx context.Context, n *network, file []byte) (publisher.Request, error) {
	r, err := n.publisher.Receive(ctx, file)
	if err != nil || r.State != publisher.Pending || r.Rule != publisher.ByHook {
		return r, err
	}
	in, err := json.Marshal(d.requested(r))
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/c"
	}
	c := exec.CommandContext(ctx, shell, flag, r.Hook)
	c.Stdin = bytes.NewReader(in)
	c.WaitDelay = time.Second
	if said, err := c.CombinedOutput(); err != nil {
		d.log.Info("request left to be approved by hand", "request", r.ID, "hook", err, "said", strings.TrimSpace(string(said[:min(len(said), 200)])))
		if x := (*exec.ExitError)(nil); !errors.As(err, &x) {
			d.log.Error("ask hook", "err", err)
		}
		return r, nil
	}
	done, err := n.publisher.Approve(ctx, r.ID)
	if err != nil {
		return r, fmt.Errorf("approve by hook: %w", err)
	}
	return done, nil
}
