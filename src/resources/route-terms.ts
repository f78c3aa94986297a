// What the sites of an app's domains ask for, and what its releases answer: names in nginx know no dash, and those of apps
// no underscore.

/** The variable that holds what a request is passed on to, without the slot: empty for nothing, a path to go to instead. */
export function routeVariable(app: string): string {
  return `slipway_to_${app.replaceAll('-', '_')}`;
}

/** The variable that holds which routes a worker of nginx knows. */
export function generationVariable(app: string): string {
  return `slipway_routes_${app.replaceAll('-', '_')}`;
}
