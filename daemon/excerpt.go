package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/lease"
	"playnode/publisher"
)

// Operations of excerpts: stretches of sets that were on air, open to all who
// have the link.
const (
	OpExcerptAdd    Op[ExcerptRequest, Excerpt]        = "excerpt-add"
	OpExcerpts      Op[ExcerptsRequest, []Excerpt]     = "excerpts"
	OpExcerptRemove Op[ExcerptRemoveRequest, struct{}] = "excerpt-remove"
)

// needsThis is what followers should know of a card with excerpts.
const needsThis = "who follows you needs this version of playnode: an older one takes no news of yours while there is an excerpt"

// ExcerptRequest leaves a stretch of a track open. At is as in a LiveRequest.
type ExcerptRequest struct {
	Track string        `json:"track"` // its CID
	From  time.Duration `json:"from"`
	For   time.Duration `json:"for"`
	Text  string        `json:"text,omitempty"` // what it is called; "" for the track's title
	At    string        `json:"at,omitempty"`
}

// ExcerptsRequest lists them, with links for At.
type ExcerptsRequest struct {
	At string `json:"at,omitempty"`
}

// ExcerptRemoveRequest takes one back.
type ExcerptRemoveRequest struct {
	ID string `json:"id"`
}

// Excerpt is a stretch that is open.
type Excerpt struct {
	ID    string `json:"id"`
	Link  string `json:"link"`
	Web   string `json:"web,omitempty"`
	Track string `json:"track"`
	Text  string `json:"text"`
	// FromMs and Ms are where it begins in the track, and how long it is: by
	// whole segments.
	FromMs int64 `json:"fromMs"`
	Ms     int64 `json:"ms"`
}

func (d *Daemon) excerptAdd(ctx context.Context, req ExcerptRequest, emit func(Event)) (Excerpt, error) {
	track, err := cid.Decode(req.Track)
	switch {
	case err != nil:
		return Excerpt{}, usage("%.80q is no track's CID", req.Track)
	case req.From < 0 || req.For < time.Second:
		return Excerpt{}, usage("an excerpt is a second long at least")
	case req.At != "":
		if err := validOrigin(req.At); err != nil {
			return Excerpt{}, err
		}
	}
	n, err := d.net()
	if err != nil {
		return Excerpt{}, err
	}
	if err := d.adopt(ctx, n, emit); err != nil {
		return Excerpt{}, err
	}
	defer n.follow.Hold()() // no row names its block before that is there
	x, err := n.publisher.AddExcerpt(ctx, track, req.From, req.For, req.Text)
	switch {
	case errors.Is(err, lease.ErrBeyond), errors.Is(err, publisher.ErrNoSet), errors.Is(err, publisher.ErrExcerpts):
		return Excerpt{}, usage("%v", err)
	case err != nil:
		return Excerpt{}, err
	}
	d.unserved(emit)
	emit(Event{Note: needsThis})
	return d.excerpt(x, req.At), nil
}

// excerpt is one with its links.
func (d *Daemon) excerpt(x publisher.Excerpt, at string) Excerpt {
	out := Excerpt{ID: x.Link.ID.String(), Track: x.Track.String(), Text: x.Text, FromMs: x.From.Milliseconds(), Ms: x.For.Milliseconds()}
	out.Link, out.Web = d.openLink(x.Link, at)
	return out
}

func (d *Daemon) excerpts(_ context.Context, req ExcerptsRequest, _ func(Event)) ([]Excerpt, error) {
	if req.At != "" {
		if err := validOrigin(req.At); err != nil {
			return nil, err
		}
	}
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	all, err := n.publisher.Excerpts()
	out := []Excerpt{}
	for _, x := range all {
		out = append(out, d.excerpt(x, req.At))
	}
	return out, err
}

func (d *Daemon) excerptRemove(ctx context.Context, req ExcerptRemoveRequest, emit func(Event)) (struct{}, error) {
	n, err := d.net()
	if err != nil {
		return struct{}{}, err
	}
	if err := d.adopt(ctx, n, emit); err != nil {
		return struct{}{}, err
	}
	err = n.publisher.RemoveExcerpt(ctx, req.ID)
	if errors.Is(err, publisher.ErrNoExcerpt) {
		return struct{}{}, usage("%v; playnode excerpt ls lists them", err)
	}
	if err != nil {
		return struct{}{}, fmt.Errorf("take back: %w", err)
	}
	d.unserved(emit)
	return struct{}{}, nil
}
