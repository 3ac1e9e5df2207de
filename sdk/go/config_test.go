package heddle

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

type allSettings struct {
	Flag      bool
	Count     int64
	Small     int8              `default:"3"`
	Port      uint16            `default:"80"`
	Ratio     float64           `default:"0.5"`
	Name      string            `heddle:"title" doc:"What it is called."`
	Level     string            `choices:"low,high" default:"low"`
	Size      int               `choices:"1, 2" default:"2"`
	Query     Statement         `default:"select @a"`
	Password  Secret            `default:""`
	Token     *string           `secret:"true" default:"null"`
	Limit     *int              `default:"null"`
	Tags      []string          `default:"[]"`
	Weights   map[string]int    `default:"{\"a\": 1}"`
	Anything  any               `default:"null"`
	Columns   Row               `default:"{\"b\": \"int\", \"a\": \"string?\"}"`
	Place     *settingsPlace    `default:"null"`
	Places    []settingsPlace   `default:"[]"`
	Nothing   map[string]string `heddle:"-"`
	invisible int
}

type settingsPlace struct {
	City string
	Zip  string `default:""`
}

func decodeAll(t *testing.T, text string) (allSettings, error) {
	t.Helper()
	spec, err := configOf(reflect.TypeFor[allSettings]())
	if err != nil {
		t.Fatal(err)
	}
	value, err := decodeConfig(text, spec, reflect.TypeFor[allSettings](), "the step `all`")
	return value.Interface().(allSettings), err
}

func TestSettingsAndTheirDefaults(t *testing.T) {
	config, err := decodeAll(t, `{"flag": true, "count": 7, "title": "x"}`)
	if err != nil {
		t.Fatal(err)
	}
	if !config.Flag || config.Count != 7 || config.Name != "x" || config.Small != 3 || config.Port != 80 ||
		config.Ratio != 0.5 || config.Level != "low" || config.Size != 2 || config.Query != "select @a" ||
		config.Limit != nil || config.Token != nil || config.Tags == nil || config.Weights["a"] != 1 ||
		config.Columns.String() != "{b: int, a: string?}" || config.invisible != 0 {
		t.Errorf("%+v", config)
	}
	config, err = decodeAll(t, `{"flag": false, "count": -1, "title": "x", "ratio": 2, "level": "high", "size": 1,
		"limit": 5, "tags": ["a"], "weights": {"b": 2}, "anything": {"k": [1, 2.5, null]}, "password": "p",
		"columns": {"z": "list<int?>"}, "place": {"city": "Brno"}, "places": [{"city": "A", "zip": "1"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if config.Ratio != 2 || *config.Limit != 5 || config.Place.City != "Brno" || config.Places[0].Zip != "1" ||
		config.Password.Reveal() != "p" || config.Columns.String() != "{z: list<int?>}" ||
		!reflect.DeepEqual(config.Anything, map[string]any{"k": []any{int64(1), 2.5, nil}}) {
		t.Errorf("%+v", config)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		`{"flag": true, "count": 7}`:             "the setting `title` (string) is missing",
		`{"typo": 1}`:                            "`typo` is not a setting here; there are `flag`, `count`",
		`{"flag": 1}`:                            "the setting `flag` is an int where bool is wanted",
		`{"count": "7"}`:                         "the setting `count` is a string where int is wanted",
		`{"count": 7.0}`:                         "the setting `count` is a float where int is wanted",
		`{"count": null}`:                        "the setting `count` is null where int is wanted",
		`{"count": 99999999999999999999}`:        "the setting `count` is an int that does not fit in 64 bits",
		`{"small": 200}`:                         "the setting `small` is an int that does not fit in 8 bits",
		`{"port": -1}`:                           "the setting `port` is an int that is not in 0…2^16-1",
		`{"level": "mid"}`:                       `a string where "low" or "high" is wanted`,
		`{"size": 3}`:                            "an int where 1 or 2 is wanted",
		`{"tags": ["a", 1]}`:                     "the setting `tags[1]` is an int where string is wanted",
		`{"weights": {"x": "y"}}`:                "the setting `weights.x` is a string where int is wanted",
		`{"place": {}}`:                          "the setting `place.city` (string) is missing",
		`{"places": [{"city": "a", "town": 1}]}`: "`places[0].town` is not a setting here",
		`{"columns": {"a": "nothing"}}`:          "the setting `columns.a` is no type",
		`{"columns": {"a": 1}}`:                  "an int where a type such as",
		`[]`:                                     "the settings of the step `all` are a list where a dict is wanted",
		`{`:                                      "are not JSON",
	} {
		full := text
		if inner, ok := strings.CutPrefix(text, "{"); ok && inner != "" && !strings.Contains(text, "flag") {
			full = `{"flag": true, "title": "x", ` + inner
			if !strings.Contains(text, "count") {
				full = `{"count": 1, ` + full[1:]
			}
		}
		_, err := decodeAll(t, full)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; wanted %q", text, err, want)
		}
		if failure := failureOf(err); failure.GetKind() != wire.Failure_CONFIG {
			t.Errorf("%s: kind %s", text, failure.GetKind())
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	_, err := decodeAll(t, `{"flag": true, "count": 1, "title": "x", "password": ["hunter2"]}`)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	config := allSettings{Password: "hunter2"}
	encoded, _ := json.Marshal(config)
	if shown := fmt.Sprintf("%v %+v %#v %s", config, config, config, encoded); strings.Contains(shown, "hunter2") {
		t.Error(shown)
	}
}

func TestSettingsOnTheWire(t *testing.T) {
	spec, err := configOf(reflect.TypeFor[allSettings]())
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]*wire.ConfigField{}
	for _, field := range encodedFields(spec.fields) {
		fields[field.GetName()] = field
	}
	for name, kind := range map[string]string{
		"flag": "bool", "count": "int", "ratio": "float", "title": "string", "level": "choice", "query": "statement",
		"tags": "list", "weights": "map", "anything": "any", "columns": "row", "place": "struct",
	} {
		if got := fields[name].GetType().GetKind(); got != kind {
			t.Errorf("%s: %s", name, got)
		}
	}
	if !fields["password"].GetSecret() || !fields["token"].GetSecret() || fields["title"].GetDoc() == "" ||
		!fields["count"].GetRequired() || fields["level"].GetDefaultJson() != `"low"` ||
		!fields["place"].GetType().GetNullable() || fields["size"].GetType().GetChoicesJson()[1] != "2" {
		t.Errorf("%v", fields)
	}
}

func TestPluginsThatCannotBe(t *testing.T) {
	run := func(*Call, NoConfig, *Table) (*Table, error) { return nil, nil }
	for want, plugin := range map[string]Plugin{
		"a namespace is a name":    {},
		"two steps `a`":            {Namespace: "x", Offers: []Offer{Step[NoConfig]{Name: "a"}, Step[NoConfig]{Name: "a"}}},
		"a step has no Name":       {Namespace: "x", Offers: []Offer{Step[NoConfig]{}}},
		"Rows is \"all\"":          {Namespace: "x", Offers: []Offer{Step[NoConfig]{Name: "a", Rows: "all"}}},
		"exclude each other":       {Namespace: "x", Offers: []Offer{Sink[NoConfig]{Name: "a", Effect: Yes, Deterministic: Yes}}},
		"settings are a struct":    {Namespace: "x", Offers: []Offer{Step[int]{Name: "a"}}},
		"setting `c`: there is no": {Namespace: "x", Offers: []Offer{Step[struct{ C chan int }]{Name: "a"}}},
		"default x is not JSON": {Namespace: "x", Offers: []Offer{Step[struct {
			C int `default:"x"`
		}]{Name: "a"}}},
		"default 1.5 does not fit": {Namespace: "x", Offers: []Offer{Step[struct {
			C int `default:"1.5"`
		}]{Name: "a"}}},
		"uses the resource `r`":           {Namespace: "x", Offers: []Offer{Step[NoConfig]{Name: "a", Run: run, Slots: []Slot{{Name: "r"}}}}},
		"two resources `r`; rename":       {Namespace: "x", Offers: []Offer{Resource[NoConfig, int]{Name: "r"}, Resource[NoConfig, int]{Name: "r"}}},
		"the resource `r`: its config is": {Namespace: "x", Offers: []Offer{Resource[string, int]{Name: "r"}}},
	} {
		if _, err := compile(plugin); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; wanted %q", err, want)
		}
	}
}
