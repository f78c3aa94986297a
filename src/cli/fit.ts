/** As many items as a width in columns bears, and how many more there are. */
export function listed(items: readonly string[], width: number): string {
  let text = '';
  for (const [index, item] of items.entries()) {
    const longer = index === 0 ? item : `${text}, ${item}`;
    const rest = items.length - index - 1;
    const tail = rest === 0 ? '' : `, and ${rest} more`;
    if (index > 0 && longer.length + tail.length > width) return `${text}, and ${rest + 1} more`;
    text = longer;
  }
  return text;
}

/** A text broken at blanks into lines of a width in columns, all but the first indented. */
export function wrapped(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  const lead = /^ */.exec(text)?.[0] ?? '';
  const [first = '', ...words] = text.trimStart().split(' ');
  let line = `${lead}${first}`;
  for (const word of words) {
    if (line.length + 1 + word.length > width) {
      lines.push(line);
      line = `${indent}${word}`;
    } else {
      line = `${line} ${word}`;
    }
  }
  return [...lines, line].join('\n');
}
