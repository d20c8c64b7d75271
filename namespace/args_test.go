package namespace

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

// Arguments are counted before they take memory.
func TestTooManyArguments(t *testing.T) {
	for _, tt := range []struct {
		n    int
		fits bool
	}{{0, true}, {1, true}, {maxArgs, true}, {maxArgs + 1, false}, {400_000, false}} {
		array := json.RawMessage("[" + strings.TrimSuffix(strings.Repeat("0,", tt.n), ",") + "]")
		var all Args
		var err error
		allocs := testing.AllocsPerRun(5, func() { all, err = parseArgs(array) })
		var told *Error
		switch {
		case tt.fits && (err != nil || len(all) != tt.n):
			t.Errorf("of %d there are %d: %v", tt.n, len(all), err)
		case !tt.fits && (!errors.As(err, &told) || told.Type != "bad_arguments" || allocs > 10):
			t.Errorf("%d take %v allocations: %v", tt.n, allocs, err)
		}
	}
}

func FuzzCommas(f *testing.F) {
	for _, seed := range []string{`[]`, ` [ ] `, `[1,"a,\",",[1,2],{"a,":1,"b":[]},null]`, `["\\",2]`, `{"a":[1,2],"b":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, array []byte) {
		var all Args
		if json.Unmarshal(array, &all) == nil && commas(array, math.MaxInt) != max(0, len(all)-1) {
			t.Errorf("%q has %d arguments, and %d commas between them", array, len(all), commas(array, math.MaxInt))
		}
	})
}
