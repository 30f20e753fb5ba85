package main

import (
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

// remoteCmd shows what lets a phone drive the loudspeaker.
func (a *app) remoteCmd() *cobra.Command {
	var req daemon.RemoteRequest
	c := &cobra.Command{
		Use:   "remote",
		Short: "a link, and its code for a camera, by which a phone drives the loudspeaker",
		Long: `Prints the link by which a phone in this building drives what the daemon plays:
next, pause, volume below the ceiling, which playlist, and what is never played
here. On a terminal it is drawn as a code, for a phone's camera.

Whoever has the link may do that, and nothing else. --new makes another one, and
lets no phone in that has the one before.`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := call(a, c, daemon.OpRemote, req)
			if err != nil {
				return err
			}
			links, err := remoteLinks(k)
			if err != nil {
				return err
			}
			if len(links) == 0 {
				return errNoPages
			}
			if at, err := netip.ParseAddrPort(k.HTTP); err == nil && at.Addr().IsLoopback() {
				a.say("this machine alone reaches that: for phones, start the daemon with --http 0.0.0.0:%d", at.Port())
			}
			return a.result(map[string]any{"links": links, "key": k.Key}, func() {
				for _, l := range links {
					a.printf("%s\n", l)
				}
				a.printf("%s", terminalQR(a.out, links[0]))
			})
		},
	}
	c.Flags().BoolVar(&req.New, "new", false, "make another link, and let no phone in that has the one before")
	return c
}

// errNoPages says how a box gets pages.
var errNoPages = &daemon.Error{Kind: daemon.Failed, Message: "this box serves no pages: start the daemon with --http 0.0.0.0:8080, or put `http: 0.0.0.0:8080` into its config.yaml"}

// remoteLinks are the addresses of the page, with the key: those of the LAN first;
// none where no pages are served.
func remoteLinks(k daemon.RemoteKey) ([]string, error) {
	at, err := netip.ParseAddrPort(k.HTTP)
	if err != nil {
		return nil, nil
	}
	addrs := []netip.Addr{at.Addr()}
	if at.Addr().IsUnspecified() {
		all, err := net.InterfaceAddrs()
		if err != nil {
			return nil, err
		}
		addrs = reachable(all)
	}
	var links []string
	for _, ip := range addrs {
		links = append(links, "http://"+netip.AddrPortFrom(ip, at.Port()).String()+"/remote/#"+k.Key)
	}
	return links, nil
}

// reachable are the addresses by which others may find this box: private ones of
// IPv4, the rest of IPv4, and those of IPv6.
func reachable(all []net.Addr) []netip.Addr {
	var ranks [3][]netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		ip := p.Addr().Unmap()
		if err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		switch {
		case ip.Is4() && ip.IsPrivate():
			ranks[0] = append(ranks[0], ip)
		case ip.Is4():
			ranks[1] = append(ranks[1], ip)
		default:
			ranks[2] = append(ranks[2], ip)
		}
	}
	return append(append(ranks[0], ranks[1]...), ranks[2]...)
}
