package socketio_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

type engineQuestion struct {
	Ask     string         `json:"ask"`
	Body    []byte         `json:"body"`
	Script  []byte         `json:"script,omitempty"`
	Packets []enginePacket `json:"packets,omitempty"`
}

type enginePacket struct {
	Type   int     `json:"type"`
	Text   string  `json:"text"`
	Binary *[]byte `json:"binary,omitempty"`
}

type engineAnswer struct {
	Lines []string `json:"lines"`
	Again []byte   `json:"again"`

	Payload4 []byte `json:"payload4"`
	Text3    []byte `json:"text3"`
	Binary3  []byte `json:"binary3"`
	Message4 []byte `json:"message4"`
	Message3 []byte `json:"message3"`
	Plain3   []byte `json:"plain3"`

	Body []byte `json:"body"`
	Form []byte `json:"form"`
}

func (g generator) packets() (all []enginePacket) {
	for range 1 + g.IntN(5) {
		p := enginePacket{Type: pick(g, 4, 4, 4, 0, 1, 2, 3, 5, 6)}
		if p.Type == 4 && g.IntN(3) == 0 {
			data := g.bytes()
			p.Binary = &data
		} else {
			p.Text = strings.ReplaceAll(g.text(), "\x1e", "")
		}
		all = append(all, p)
	}
	return all
}

func (p *enginePacket) ours() engineio.Packet {
	if p.Binary != nil {
		return engineio.Packet{Type: engineio.Message, Binary: true, Data: *p.Binary}
	}
	return engineio.Packet{Type: engineio.Type(p.Type), Data: []byte(p.Text)}
}

// lines are what we make of a payload.
func lines(ask string, body []byte) (all []string) {
	limits := &engineio.Limits{Bytes: 1 << 24}
	body = bytes.Clone(body)
	payload := engineio.NewPayload(body, limits)
	if ask != "payload4" {
		payload = engineio.NewPayload3(body, ask == "binary3", limits)
	}
	for {
		p, err := payload.Next()
		switch {
		case err == io.EOF:
			return all
		case err != nil:
			return append(all, "failed")
		case p.Binary:
			all = append(all, fmt.Sprintf("%d %x", p.Type, p.Data))
		default:
			all = append(all, fmt.Sprintf("%d%s", p.Type, p.Data))
		}
	}
}

// TestWritingPayloads wants what we write to be what the stock encoders write,
// and us to read it.
func TestWritingPayloads(t *testing.T) {
	g := newGenerator(3)
	var questions []engineQuestion
	for range rounds() / 2 {
		questions = append(questions, engineQuestion{Ask: "engine", Packets: g.packets()})
	}
	for i, stock := range ask[engineQuestion, engineAnswer](t, questions) {
		var payload4, text3, binary3 []byte
		var want []string
		for _, p := range questions[i].Packets {
			payload4 = engineio.AppendPayload(payload4, p.ours())
			text3 = engineio.AppendPayload3(text3, p.ours())
			binary3 = engineio.AppendBinaryPayload3(binary3, p.ours())
			if p.Binary != nil {
				want = append(want, fmt.Sprintf("4 %x", *p.Binary))
			} else {
				want = append(want, fmt.Sprintf("%d%s", p.Type, p.Text))
			}
		}
		first := questions[i].Packets[0].ours()
		message4, message3 := engineio.AppendPacket(nil, first), engineio.AppendPacket(nil, first)
		if first.Binary {
			message4, message3 = first.Data, engineio.AppendBinary3(nil, first.Data)
		}
		for _, c := range []struct {
			what       string
			ours, them []byte
		}{
			{"payload4", payload4, stock.Payload4}, {"text3", text3, stock.Text3}, {"binary3", binary3, stock.Binary3},
			{"message4", message4, stock.Message4}, {"message3", message3, stock.Message3}, {"plain3", engineio.AppendText3(nil, first), stock.Plain3},
		} {
			if !bytes.Equal(c.ours, c.them) {
				t.Fatalf("%s: we write %.500q\nthey write %.500q", c.what, c.ours, c.them)
			}
			if strings.HasPrefix(c.what, "message") || c.what == "plain3" {
				continue
			}
			if got := lines(c.what, c.ours); !slices.Equal(got, want) {
				t.Fatalf("%s: %.500q is %.500q", c.what, c.ours, got)
			}
		}
	}
}

// TestReadingPayloads wants us to read what the stock parsers read, and to refuse
// what they refuse. We refuse more: what no stock encoder writes, which is what
// would be other bytes if it were written again. There is one more thing, below.
func TestReadingPayloads(t *testing.T) {
	for _, kind := range []string{"payload4", "text3", "binary3"} {
		t.Run(kind, func(t *testing.T) {
			g := newGenerator(4)
			var questions []engineQuestion
			for range rounds() / 2 {
				questions = append(questions, engineQuestion{Ask: kind, Body: g.body(kind)})
			}
			same, refused := 0, 0
			for i, stock := range ask[engineQuestion, engineAnswer](t, questions) {
				body := questions[i].Body
				ours := lines(kind, body)
				switch end := min(len(ours), max(len(ours)-1, 0)); {
				case slices.Equal(ours, stock.Lines):
					same++
				case len(ours) == 0 || ours[end] != "failed":
					t.Errorf("of %.300q\nwe read %.300q\nthey read %.300q", body, ours, stock.Lines)
				case slices.Contains(stock.Lines, "failed"):
					// Where they go on behind an error, or find another first, it ends all the same.
				case bytes.Equal(stock.Again, body) && !binaryNoMessage(stock.Lines):
					t.Errorf("only we refuse %.300q, which is %.300q", body, stock.Lines)
				default:
					refused++
				}
			}
			t.Logf("of %d payloads both read or refuse %d the same; refused by us only: %d", len(questions), same, refused)
			if same < len(questions)/4 || refused == 0 {
				t.Error("the payloads are too alike")
			}
		})
	}
}

// binaryNoMessage reports whether something else than a message is binary, which
// protocol 3 could tell, but no peer means.
func binaryNoMessage(lines []string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return len(line) > 1 && line[0] != '4' && line[1] == ' ' })
}

// body is a payload, most often with a few bytes changed.
func (g generator) body(kind string) (body []byte) {
	for _, p := range g.packets() {
		switch kind {
		case "payload4":
			body = engineio.AppendPayload(body, p.ours())
		case "text3":
			body = engineio.AppendPayload3(body, p.ours())
		case "binary3":
			body = engineio.AppendBinaryPayload3(body, p.ours())
		}
	}
	if g.IntN(4) == 0 {
		return body
	}
	if kind != "binary3" {
		return []byte(g.mutated(string(body), "", "", "0", "1", "4", "7", ":", "b", "=", "-", "_", "\x1e", "\n", " ", "e", ".", "\U0001f600", "b4AQID", "1:2", "0:"))
	}
	for range 1 + g.IntN(2) {
		at := g.IntN(min(len(body), pick(g, 4, 1<<20)))
		switch g.IntN(3) {
		case 0:
			body[at] = pick[byte](g, 0, 1, 2, 4, 9, 10, 255, 0xc3, '4', 'b')
		case 1:
			body = slices.Insert(body, at, pick[byte](g, 0, 1, 9, 255, 0x80))
		case 2:
			body = body[:max(at, 1)]
		}
	}
	return body
}

// TestJSONP evaluates our scripts, and reads the forms that pages without CORS
// post. These cannot tell a stroke and the end of a line from \n, which JSON never
// has.
func TestJSONP(t *testing.T) {
	g := newGenerator(5)
	var questions []engineQuestion
	for range rounds() / 4 {
		var body []byte
		for _, p := range g.packets() {
			p.Text = strings.ReplaceAll(p.Text, "\\\n", "")
			body = engineio.AppendPayload(body, p.ours())
		}
		questions = append(questions, engineQuestion{Ask: "jsonp", Body: body, Script: engineio.AppendJSONP(nil, 3, body)})
	}
	for i, stock := range ask[engineQuestion, engineAnswer](t, questions) {
		body := questions[i].Body
		if !bytes.Equal(stock.Body, body) {
			t.Fatalf("%.500q is evaluated to %.500q", questions[i].Script, stock.Body)
		}
		if got, err := engineio.DecodeForm(bytes.Clone(stock.Form)); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%.500q is %.500q, %v, want %.500q", stock.Form, got, err, body)
		}
	}
}
