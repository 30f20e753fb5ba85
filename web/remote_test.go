package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// deck is a loudspeaker that writes down what it was told.
type deck struct{ told []Order }

func (*deck) Admits(key string) bool { return key == "open" }
func (*deck) Heard(context.Context) (Heard, error) {
	return Heard{State: "playing", Title: "Salt"}, nil
}
func (*deck) Shelf(context.Context) (Shelf, error) { return Shelf{Fine: "All is here."}, nil }
func (d *deck) Do(_ context.Context, o Order) (Heard, error) {
	if d.told = append(d.told, o); o.Do == "next" {
		return Heard{}, errors.New("nothing is playing")
	}
	return Heard{State: "paused"}, nil
}

// Who has the key drives the loudspeaker, by orders that there are; nobody else
// does, and no page from elsewhere, and the loudspeaker hears of none of those.
func TestTheLoudspeakerIsDrivenByItsKey(t *testing.T) {
	d := &deck{}
	s := httptest.NewServer(New(Config{Sets: func() []Set { return nil }, Player: d}))
	defer s.Close()
	ask := func(method, path, body string, headers ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			if req.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
				req.Host = headers[i+1]
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, strings.TrimSpace(string(b))
	}
	const key, pause = "Bearer open", `{"do":"pause"}`
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		want                     int
		says                     string
	}{
		{"the page, to anyone", "GET", "/remote/", "", nil, 200, "remote.js"},
		{"its link in the list", "GET", "/", "", nil, 200, `href="/remote/"`},
		{"what is heard, without a key", "GET", "/remote/now.json", "", nil, 401, "error"},
		{"what is heard, with another", "GET", "/remote/now.json", "", []string{"Authorization", "Bearer shut"}, 401, "error"},
		{"what is heard, with the key in the address", "GET", "/remote/now.json?key=open", "", nil, 401, "error"},
		{"the shelf, without a key", "GET", "/remote/shelf.json", "", nil, 401, "error"},
		{"an order, without a key", "POST", "/remote/order", pause, nil, 401, "error"},
		{"an order by GET", "GET", "/remote/order", "", []string{"Authorization", key}, 405, ""},
		{"an order of another page's", "POST", "/remote/order", pause, []string{"Authorization", key, "Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"an order to another name", "POST", "/remote/order", pause, []string{"Authorization", key, "Host", "rebound.example"}, 421, ""},
		{"an order that there is not", "POST", "/remote/order", `{"do":"seek"}`, []string{"Authorization", key}, 400, "none of play"},
		{"no order", "POST", "/remote/order", `nothing`, []string{"Authorization", key}, 400, "error"},
		{"too long an order", "POST", "/remote/order", `{"do":"pause","plays":"` + strings.Repeat("x", maxOrder) + `"}`, []string{"Authorization", key}, 400, "error"},
	} {
		if status, body := ask(c.method, c.path, c.body, c.headers...); status != c.want || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	if len(d.told) > 0 {
		t.Errorf("the loudspeaker was told %+v", d.told)
	}
	if status, body := ask("GET", "/remote/now.json", "", "Authorization", key); status != 200 || !strings.Contains(body, `"title":"Salt"`) {
		t.Errorf("with the key: %d %s", status, body)
	}
	if status, body := ask("GET", "/remote/shelf.json", "", "Authorization", key); status != 200 || !strings.Contains(body, "All is here.") {
		t.Errorf("with the key: %d %s", status, body)
	}
	for _, do := range Orders {
		want := Order{Do: do, Volume: 40, Track: "bafy", Plays: "k51/bar"}
		body, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		status, says := ask("POST", "/remote/order", string(body), "Authorization", key)
		if do == "next" {
			if status != 409 || says != `{"error":"nothing is playing"}` {
				t.Errorf("an order that cannot be: %d %s", status, says)
			}
		} else if status != 200 || !strings.Contains(says, `"state":"paused"`) {
			t.Errorf("%s: %d %s", do, status, says)
		}
		if got := d.told[len(d.told)-1]; got != want {
			t.Errorf("%s: it was told %+v", do, got)
		}
	}
	if len(d.told) != len(Orders) {
		t.Errorf("it was told %d times", len(d.told))
	}
}

// A box without a loudspeaker to drive has no page of it.
func TestNobodyDrivesWithoutAPlayer(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/remote/", "/remote/now.json"} {
		res, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	if strings.Contains(get(t, s, "/"), "/remote/") {
		t.Error("the list of sets has its link")
	}
}
