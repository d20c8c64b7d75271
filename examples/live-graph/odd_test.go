package livegraph_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

type point struct {
	X int64
	Y float64
}

func (p point) data() map[string]any { return map[string]any{"x": p.X, "y": p.Y} }

// passesOverWhatIsNoPoint: whoever reaches the socket can publish anything, and
// that does not spoil the rest.
func (s *site) passesOverWhatIsNoPoint(t *testing.T) {
	now := time.Now().UnixMilli()
	x := fmt.Sprintf(`"x": %d`, now)
	before := len(s.letIn(t, "", "").Points)
	for _, data := range []string{
		`null`, `5`, `"text"`, `[]`, `{}`, `{` + x + `}`, `{"y": 2}`, `{` + x + `, "y": null}`, `{` + x + `, "y": true}`, `{` + x + `, "y": "2"}`,
		`{"x": 99999999999999, "y": 2}`, `{"x": -5, "y": 1}`, `{"x": null, "y": 1}`, fmt.Sprintf(`{"x": %d, "y": 2}`, now/1000),
		`{` + x + `, "y": ` + strings.Repeat("9", 5000) + `}`, `{` + x + `, "y": 1e999}`, `{"x": ` + strings.Repeat("9", 5000) + `, "y": 1}`,
		strings.Repeat("[", 50) + strings.Repeat("]", 50),
		strings.Repeat("[", 3000) + `"]}"` + strings.Repeat("]", 3000), strings.Repeat(`{"x":`, 3000) + "1" + strings.Repeat("}", 3000),
	} {
		s.call(t, "publish", map[string]any{"channel": "graph", "data": json.RawMessage(data)})
	}
	odd := fmt.Sprintf(`{%s, "y": 3.5, "z": [1e999, %s]}`, x, strings.Repeat("9", 5000)) // it has all that a point has
	s.call(t, "publish", map[string]any{"channel": "graph", "data": json.RawMessage(odd)})
	s.call(t, "publish", map[string]any{"channel": "graph", "data": point{now + 1, 4}.data()})
	got := s.letIn(t, "", "").Points[before:]
	if want := []point{{now, 3.5}, {now + 1, 4}}; !slices.Equal(got, want) {
		t.Errorf("the points are %v, want %v", got, want)
	}
}
