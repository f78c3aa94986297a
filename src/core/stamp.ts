/** A moment as it stands in names, to the second by UTC: `20261121T203433Z`. Such names sort as moments do. */
export function stampOf(moment: Date): string {
  return `${moment.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}
