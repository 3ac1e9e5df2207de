package heddle

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// NoConfig is the config of a step or a resource without settings.
type NoConfig = struct{}

// Secret is a setting that never reaches a log, a plan or an error text. Reveal gives its text.
type Secret string

// String hides the text.
func (s Secret) String() string { return "…" }

// GoString hides the text.
func (s Secret) GoString() string { return "heddle.Secret(…)" }

// MarshalJSON hides the text.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"…"`), nil }

// Reveal gives the text itself.
func (s Secret) Reveal() string { return string(s) }

// Statement is a setting whose `@name` parts are bound parameters, such as a query.
type Statement string

var (
	anyType       = reflect.TypeFor[any]()
	secretType    = reflect.TypeFor[Secret]()
	statementType = reflect.TypeFor[Statement]()
	rowType       = reflect.TypeFor[Row]()
	openConfig    = reflect.TypeFor[map[string]any]()
)

// configSpec is what a step or a resource accepts. open: any settings at all, in a map.
type configSpec struct {
	fields []configField
	open   bool
}

type configField struct {
	name        string
	dtype       configType
	required    bool
	defaultJSON string
	defaulted   any
	secret      bool
	doc         string
	index       []int
}

type configType struct {
	kind     string
	items    *configType
	fields   []configField
	choices  []any
	nullable bool
}

// configOf reads the settings of a Go type: a struct, or map[string]any for any settings.
func configOf(of reflect.Type) (configSpec, error) {
	if of == openConfig {
		return configSpec{open: true}, nil
	}
	if of.Kind() != reflect.Struct {
		return configSpec{}, fmt.Errorf("its config is %s; settings are a struct, or map[string]any for any settings", of)
	}
	fields, err := configFields(of, 0)
	return configSpec{fields: fields}, err
}

func configFields(of reflect.Type, depth int) ([]configField, error) {
	if depth > typeDepthMax {
		return nil, fmt.Errorf("%s contains itself", of)
	}
	var fields []configField
	for _, field := range reflect.VisibleFields(of) {
		if field.Anonymous && field.Type.Kind() == reflect.Pointer {
			return nil, fmt.Errorf("%s embeds a pointer; embed %s itself", of, field.Type.Elem())
		}
		name, skip := fieldName(field)
		if skip {
			continue
		}
		result, err := configFieldOf(field, name, depth)
		if err != nil {
			return nil, fmt.Errorf("setting `%s`: %w", name, err)
		}
		fields = append(fields, result)
	}
	return fields, nil
}

func configFieldOf(field reflect.StructField, name string, depth int) (configField, error) {
	dtype, err := configTypeOf(field.Type, depth)
	if err != nil {
		return configField{}, err
	}
	result := configField{
		name: name, dtype: dtype, index: field.Index, doc: field.Tag.Get("doc"), required: true,
		secret: field.Type == secretType || field.Tag.Get("secret") == "true",
	}
	if choices, ok := field.Tag.Lookup("choices"); ok {
		if err := result.choose(choices); err != nil {
			return configField{}, err
		}
	}
	given, ok := field.Tag.Lookup("default")
	if !ok {
		return result, nil
	}
	result.required = false
	result.defaultJSON = given
	switch result.dtype.kind {
	case "string", "statement", "choice":
		if !(result.dtype.nullable && given == "null") && !(result.dtype.kind == "choice" && isWhole(result.dtype)) {
			encoded, err := json.Marshal(given)
			if err != nil {
				return configField{}, err
			}
			result.defaultJSON = string(encoded)
		}
	}
	result.defaulted, err = parseJSON(result.defaultJSON)
	if err != nil {
		return configField{}, fmt.Errorf("its default %s is not JSON: %w", given, err)
	}
	target := reflect.New(field.Type).Elem()
	if err := decodeValue(result.defaulted, result.dtype, target); err != nil {
		return configField{}, fmt.Errorf("its default %s does not fit: %w", given, err)
	}
	return result, nil
}

func (f *configField) choose(choices string) error {
	if f.dtype.kind != "string" && f.dtype.kind != "int" {
		return fmt.Errorf("a choice is made of strings or ints, not of %s", f.dtype)
	}
	for _, choice := range strings.Split(choices, ",") {
		choice = strings.TrimSpace(choice)
		if f.dtype.kind == "int" {
			if _, err := json.Number(choice).Int64(); err != nil {
				return fmt.Errorf("its choice %q is not an int", choice)
			}
			f.dtype.choices = append(f.dtype.choices, json.Number(choice))
		} else {
			f.dtype.choices = append(f.dtype.choices, choice)
		}
	}
	f.dtype.kind = "choice"
	return nil
}

func isWhole(choice configType) bool {
	_, whole := choice.choices[0].(json.Number)
	return whole
}

func configTypeOf(of reflect.Type, depth int) (configType, error) {
	if of.Kind() == reflect.Pointer {
		dtype, err := configTypeOf(of.Elem(), depth)
		if dtype.nullable {
			return configType{}, fmt.Errorf("%s is a pointer to a pointer", of)
		}
		dtype.nullable = true
		return dtype, err
	}
	switch of {
	case anyType:
		return configType{kind: "any", nullable: true}, nil
	case secretType:
		return configType{kind: "string"}, nil
	case statementType:
		return configType{kind: "statement"}, nil
	case rowType:
		return configType{kind: "row"}, nil
	case timeType, durationType:
		return configType{}, fmt.Errorf("there is no setting of type %s; take a string or a number", of)
	}
	switch of.Kind() {
	case reflect.Bool:
		return configType{kind: "bool"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return configType{kind: "int"}, nil
	case reflect.Float32, reflect.Float64:
		return configType{kind: "float"}, nil
	case reflect.String:
		return configType{kind: "string"}, nil
	case reflect.Slice, reflect.Map:
		if of.Kind() == reflect.Map && of.Key().Kind() != reflect.String {
			return configType{}, fmt.Errorf("a map has strings as its keys, not %s", of.Key())
		}
		items, err := configTypeOf(of.Elem(), depth)
		kind := map[reflect.Kind]string{reflect.Slice: "list", reflect.Map: "map"}[of.Kind()]
		return configType{kind: kind, items: &items}, err
	case reflect.Struct:
		fields, err := configFields(of, depth+1)
		return configType{kind: "struct", fields: fields}, err
	}
	return configType{}, fmt.Errorf("there is no setting of type %s", of)
}

// String is the type as messages name it.
func (t configType) String() string {
	name := t.kind
	switch t.kind {
	case "choice":
		parts := make([]string, len(t.choices))
		for i, choice := range t.choices {
			encoded, _ := json.Marshal(choice)
			parts[i] = string(encoded)
		}
		name = strings.Join(parts, " or ")
	case "list":
		name = "list of " + t.items.String()
	case "map":
		name = "map to " + t.items.String()
	case "struct":
		parts := make([]string, len(t.fields))
		for i, field := range t.fields {
			parts[i] = field.name + ": " + field.dtype.String()
		}
		name = "{" + strings.Join(parts, ", ") + "}"
	case "row":
		name = `{column: "type", …}`
	case "statement":
		name = "string"
	}
	if t.nullable && t.kind != "any" {
		name += " or null"
	}
	return name
}

func encodedFields(fields []configField) []*wire.ConfigField {
	result := make([]*wire.ConfigField, len(fields))
	for i, field := range fields {
		result[i] = &wire.ConfigField{
			Name: field.name, Type: field.dtype.encoded(), Required: field.required,
			DefaultJson: field.defaultJSON, Secret: field.secret, Doc: field.doc,
		}
	}
	return result
}

func (t configType) encoded() *wire.ConfigType {
	result := &wire.ConfigType{Kind: t.kind, Fields: encodedFields(t.fields), Nullable: t.nullable}
	if t.items != nil {
		result.Items = t.items.encoded()
	}
	for _, choice := range t.choices {
		encoded, _ := json.Marshal(choice)
		result.ChoicesJson = append(result.ChoicesJson, string(encoded))
	}
	return result
}
