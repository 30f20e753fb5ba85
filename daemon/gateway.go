package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"playnode/ipns"
	nodehttp "playnode/node/http"
)

// gateway serves what is held here, blocks, CARs and name records, and takes
// records of the names that are wanted here.
func (d *Daemon) gateway(n *network) http.Handler {
	return nodehttp.NewHandler(nodehttp.HandlerConfig{
		Blocks: n.node, Now: d.now,
		Record: func(name string) ([]byte, error) {
			p, err := ipns.ParseName(name)
			if err != nil {
				return nil, err
			}
			rec, err := n.names.Newest(p)
			return rec.Raw, err
		},
		Put: func(name string, raw []byte) error {
			p, err := ipns.ParseName(name)
			if err != nil {
				return fmt.Errorf("%w: %w", nodehttp.ErrRefused, err)
			}
			if !n.names.Wants(p) {
				return nodehttp.ErrUnwanted
			}
			_, _, err = n.names.Accept(p, raw)
			for _, why := range []error{ipns.ErrInvalid, ipns.ErrExpired, ipns.ErrRollback} {
				if errors.Is(err, why) {
					return fmt.Errorf("%w: %w", nodehttp.ErrRefused, err)
				}
			}
			return err
		},
	})
}

// public is what the gateway's listener serves: the trustless gateway, and the
// page of what is open to all who have a link.
func (d *Daemon) public(n *network) http.Handler {
	blocks := d.gateway(n)
	if d.opt.Open == nil {
		return blocks
	}
	page := d.opt.Open(d.Listed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/open/") {
			page.ServeHTTP(w, r)
			return
		}
		blocks.ServeHTTP(w, r)
	})
}

// alerts is what is wrong and a person should know.
func alerts(n *network) []Alert {
	out := []Alert{}
	for _, a := range n.names.Alerts() {
		alert := Alert{Kind: a.Kind, Name: a.Name.String(), Seq: a.Seq, Settled: a.Settled, Text: a.Text()}
		if !a.Since.IsZero() {
			since := a.Since.UTC()
			alert.Since = &since
		}
		out = append(out, alert)
	}
	return out
}
