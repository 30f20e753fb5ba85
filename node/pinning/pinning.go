// Package pinning asks a Pinning Service to keep copies of what is pinned here
// (https://ipfs.github.io/pinning-services-api-spec/): a company's, or an IPFS
// Cluster's.
//
// What comes in: a service's address and token, and what the service says. What
// goes out: roots and addresses that are public anyway. What is trusted: the
// service with its own word on what it holds; it is shown no key, and can do no
// harm to what is here.
package pinning

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/boxo/pinning/remote/client/openapi"
	"github.com/ipfs/go-cid"

	"playnode/node"
)

const (
	// answering bounds one call.
	answering = time.Minute
	// maxAnswer is the largest answer that is read, in bytes.
	maxAnswer = 8 << 20
	// page is how many pins one call lists, pages how many such calls are made.
	page, pages = 1000, 100
	// maxName is the longest name of a pin, maxOrigins how many addresses one
	// is asked for with: both are the standard's. maxDelegates bounds what it
	// answers.
	maxName, maxOrigins, maxDelegates = 255, 20, 20

	// appKey and app, in a pin's meta data, say that it was made by this
	// program, ownerKey for whom.
	appKey, app, ownerKey = "app_id", "playnode", "archivist"
)

// Config is how a service is used.
type Config struct {
	// URL is where its API begins, such as https://pins.example/psa. Required.
	URL string
	// Token opens it.
	Token string
	// Owner tells our pins there from those of others, in clear: a peer id.
	// Required.
	Owner string
}

// Service is a Pinning Service. It is a node.Copies. Safe for concurrent use.
type Service struct {
	at, owner string
	api       *openapi.PinsApiService
}

// New makes a Service; it does not dial.
func New(cfg Config) (*Service, error) {
	u, err := url.Parse(cfg.URL)
	if err == nil && u.User != nil {
		return nil, errors.New("a Pinning Service's address is without its secret: that is the setting pinning-token")
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the Pinning Service %.200q is not like https://pins.example/psa", cfg.URL)
	}
	if cfg.Owner == "" {
		return nil, errors.New("use Pinning Service: Owner is required")
	}
	c := openapi.NewConfiguration()
	c.UserAgent = "playnode"
	if cfg.Token != "" {
		c.AddDefaultHeader("Authorization", "Bearer "+strings.TrimSpace(cfg.Token))
	}
	at := strings.TrimSuffix(u.String(), "/")
	c.Servers = openapi.ServerConfigurations{{URL: at}}
	c.HTTPClient = &http.Client{Timeout: answering, Transport: capped{http.DefaultTransport}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("it redirects: give the address that it leads to") // the token goes nowhere else
	}}
	return &Service{at, cfg.Owner, openapi.NewAPIClient(c).PinsApi}, nil
}

// every state is to be told of; a service that is not asked tells of those that
// are pinned.
func every() []openapi.Status {
	return []openapi.Status{openapi.QUEUED, openapi.PINNING, openapi.PINNED, openapi.FAILED}
}

// Copies lists the pins of that name, newest first.
func (s *Service) Copies(ctx context.Context, name string) (all []node.Copy, err error) {
	seen := map[string]bool{}
	ask := s.api.PinsGet(ctx).Limit(page).Status(every()).Name(name)
	for range pages {
		got, res, err := ask.Execute()
		if err != nil {
			return nil, s.failed("list pins", res, err)
		}
		fresh := 0
		for _, r := range got.Results {
			if !seen[r.Requestid] {
				seen[r.Requestid] = true
				fresh++
				if c, ok := s.copyOf(r); ok && c.Pin.Name == name {
					all = append(all, c)
				}
			}
		}
		if fresh == 0 || int(got.Count) <= len(got.Results) {
			return all, nil
		}
		ask = ask.Before(got.Results[len(got.Results)-1].Created)
	}
	return nil, fmt.Errorf("list pins at %s: there are over %d", s.at, page*pages)
}

// Of lists who has asked for root, whatever they call it.
func (s *Service) Of(ctx context.Context, root cid.Cid) (all []node.Copy, err error) {
	got, res, err := s.api.PinsGet(ctx).Limit(page).Status(every()).Cid([]string{root.String()}).Execute()
	if err != nil {
		return nil, s.failed("look for a pin", res, err)
	}
	for _, r := range got.Results {
		if c, ok := s.copyOf(r); ok && c.Pin.Root.Equals(root) {
			all = append(all, c)
		}
	}
	return all, nil
}

// Add asks for a root to be pinned, which may be had at origins.
func (s *Service) Add(ctx context.Context, p node.Pin, origins []string) (node.Copy, error) {
	if len(p.Name) > maxName {
		return node.Copy{}, fmt.Errorf("ask %s for %s: its name is over %d bytes", s.at, p.Root, maxName)
	}
	pin := openapi.NewPin(p.Root.String())
	pin.SetName(p.Name)
	pin.SetOrigins(origins[:min(len(origins), maxOrigins)])
	pin.SetMeta(map[string]string{appKey: app, ownerKey: s.owner})
	got, res, err := s.api.PinsPost(ctx).Pin(*pin).Execute()
	if err != nil {
		return node.Copy{}, s.failed("ask for a pin", res, err)
	}
	c, ok := s.copyOf(got)
	if !ok || !c.Pin.Root.Equals(p.Root) {
		return node.Copy{}, fmt.Errorf("ask %s for %s: it answers for another", s.at, p.Root)
	}
	return c, nil
}

// Remove takes a request back; one that is gone is no error.
func (s *Service) Remove(ctx context.Context, id string) error {
	res, err := s.api.PinsRequestidDelete(ctx, id).Execute()
	if err != nil && (res == nil || res.StatusCode != http.StatusNotFound) {
		return s.failed("remove a pin", res, err)
	}
	return nil
}

func (s *Service) copyOf(r openapi.PinStatus) (node.Copy, bool) {
	root, err := cid.Decode(r.Pin.Cid)
	if err != nil || r.Requestid == "" {
		return node.Copy{}, false
	}
	meta := r.Pin.GetMeta()
	return node.Copy{
		ID: r.Requestid, Pin: node.Pin{Name: r.Pin.GetName(), Root: root}, State: string(r.Status),
		Ours: meta[appKey] == app && meta[ownerKey] == s.owner, Delegates: r.Delegates[:min(len(r.Delegates), maxDelegates)],
	}, true
}

// failed says what went wrong, and how to mend what can be.
func (s *Service) failed(what string, res *http.Response, err error) error {
	if res == nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			if ctx := u.Err; errors.Is(ctx, context.Canceled) || errors.Is(ctx, context.DeadlineExceeded) {
				return fmt.Errorf("%s at %s: %w", what, s.at, ctx)
			}
			err = u.Err
		}
		return fmt.Errorf("%s at %s: %w: %w; is that the address of its Pinning Service API?", what, s.at, node.ErrNotFound, err)
	}
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%s at %s: it does not take the token: set pinning-token, or PLAYNODE_PINNING_TOKEN, to the one that it has given you (%s)", what, s.at, res.Status)
	}
	said := ""
	if o, ok := err.(openapi.GenericOpenAPIError); ok {
		if f, ok := o.Model().(openapi.Failure); ok {
			said = ": " + f.Error.GetReason() + " " + f.Error.GetDetails()
		}
	}
	return fmt.Errorf("%s at %s: %w: %s%.200s", what, s.at, node.ErrNotFound, res.Status, said)
}

// capped ends answers that are too long.
type capped struct{ http.RoundTripper }

func (c capped) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(req)
	if err == nil {
		res.Body = &limited{res.Body, maxAnswer}
	}
	return res, err
}

type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return n, err
}
