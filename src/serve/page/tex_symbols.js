// The names of TeX's signs, as tables: "name sign name sign …".

function table(text) {
  const words = text.trim().split(/\s+/);
  return Object.fromEntries(Array.from({ length: words.length / 2 }, (_, i) => [words[2 * i], words[2 * i + 1]]));
}

/** Letters and other ordinary signs. */
export const LETTERS = table(`
  alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ varkappa ϰ lambda λ mu μ nu ν xi ξ
  omicron ο pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω
  Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω
  infty ∞ partial ∂ nabla ∇ emptyset ∅ varnothing ∅ hbar ℏ ell ℓ Re ℜ Im ℑ aleph ℵ beth ℶ wp ℘ imath ı jmath ȷ
  forall ∀ exists ∃ nexists ∄ neg ¬ lnot ¬ top ⊤ bot ⊥ angle ∠ triangle △ square □ blacksquare ■ Box □ Diamond ◇ diamond ⋄ star ⋆ bigstar ★ checkmark ✓
  degree ° circ ∘ prime ′ dagger † ddagger ‡ S § clubsuit ♣ diamondsuit ♢ heartsuit ♡ spadesuit ♠ flat ♭ natural ♮ sharp ♯
  ldots … dots … cdots ⋯ vdots ⋮ ddots ⋱ dotsc … dotsb ⋯ QED ∎ complement ∁ eth ð mho ℧ Bbbk 𝕜`);

/** Operators, relations and arrows. Names that end in a space in the second table are large: LIMITS says which. */
export const OPERATORS = {
  ...table(`
  pm ± mp ∓ times × div ÷ cdot ⋅ ast ∗ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙ cap ∩ cup ∪ uplus ⊎ sqcap ⊓ sqcup ⊔ vee ∨ lor ∨ wedge ∧ land ∧
  setminus ∖ smallsetminus ∖ wr ≀ amalg ⨿ rtimes ⋊ ltimes ⋉ bowtie ⋈
  leq ≤ le ≤ geq ≥ ge ≥ leqslant ⩽ geqslant ⩾ neq ≠ ne ≠ lt < gt > ll ≪ gg ≫ equiv ≡ sim ∼ simeq ≃ approx ≈ cong ≅ propto ∝ doteq ≐ asymp ≍ lesssim ≲ gtrsim ≳
  prec ≺ succ ≻ preceq ⪯ succeq ⪰ subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ subsetneq ⊊ supsetneq ⊋ sqsubseteq ⊑ sqsupseteq ⊒ in ∈ notin ∉ ni ∋ vdash ⊢ dashv ⊣ models ⊨ vDash ⊨
  perp ⟂ parallel ∥ nparallel ∦ mid ∣ nmid ∤ smile ⌣ frown ⌢ triangleq ≜ coloneqq ≔ colon : therefore ∴ because ∵ triangleleft ◁ triangleright ▷ nleq ≰ ngeq ≱ nsubseteq ⊈
  to → rightarrow → leftarrow ← gets ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ implies ⟹ impliedby ⟸ iff ⟺ mapsto ↦ longmapsto ⟼
  longrightarrow ⟶ longleftarrow ⟵ Longrightarrow ⟹ Longleftarrow ⟸ longleftrightarrow ⟷ Longleftrightarrow ⟺ hookrightarrow ↪ hookleftarrow ↩ rightharpoonup ⇀ rightharpoondown ⇁ rightleftharpoons ⇌
  leftrightharpoons ⇋ uparrow ↑ downarrow ↓ updownarrow ↕ Uparrow ⇑ Downarrow ⇓ nearrow ↗ searrow ↘ nwarrow ↖ swarrow ↙ rightsquigarrow ⇝ leadsto ⇝ nrightarrow ↛ twoheadrightarrow ↠`),
  ...Object.fromEntries(Object.entries(table(`
  sum ∑ prod ∏ coprod ∐ int ∫ iint ∬ iiint ∭ oint ∮ bigcap ⋂ bigcup ⋃ bigvee ⋁ bigwedge ⋀ bigoplus ⨁ bigotimes ⨂ bigodot ⨀ biguplus ⨄ bigsqcup ⨆`)).map(([name, sign]) => [`${name} `, sign])),
};

/** What takes its limits above and below. */
export const LIMITS = new Set(`sum prod coprod int iint iiint oint bigcap bigcup bigvee bigwedge bigoplus bigotimes bigodot biguplus bigsqcup
  lim limsup liminf max min sup inf argmax argmin Pr det gcd injlim projlim`.split(/\s+/));

export const FUNCTIONS = new Set(`sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth log ln lg exp dim ker hom deg arg lcm sgn tr rank
  sech csch`.split(/\s+/));

export const SPACES = { ",": "0.167em", ":": "0.222em", ">": "0.222em", ";": "0.278em", "!": "-0.167em", " ": "0.333em", quad: "1em", qquad: "2em",
  enspace: "0.5em", thinspace: "0.167em", medspace: "0.222em", thickspace: "0.278em", negthinspace: "-0.167em" };

/** One character stays small; two mean that the first is stretched over its base. */
export const ACCENTS = { hat: "^", bar: "¯", vec: "→", tilde: "~", dot: "˙", ddot: "¨", acute: "´", grave: "`", check: "ˇ", breve: "˘", mathring: "˚",
  widehat: "^^", widetilde: "~~", overrightarrow: "→→", overleftarrow: "←←", overleftrightarrow: "↔↔", overbrace: "⏞⏞", underbrace: "⏟⏟" };

export const DELIMITERS = { "\\{": "{", "\\}": "}", "\\lbrace": "{", "\\rbrace": "}", "\\|": "‖", "\\Vert": "‖", "\\lVert": "‖", "\\rVert": "‖", "\\vert": "|", "\\lvert": "|", "\\rvert": "|",
  "\\langle": "⟨", "\\rangle": "⟩", "\\lfloor": "⌊", "\\rfloor": "⌋", "\\lceil": "⌈", "\\rceil": "⌉", "\\lbrack": "[", "\\rbrack": "]", "\\backslash": "\\",
  "\\uparrow": "↑", "\\downarrow": "↓", "\\llbracket": "⟦", "\\rrbracket": "⟧", "\\ulcorner": "⌜", "\\urcorner": "⌝" };

const latin = (upper, lower, digit) => [["A", "Z", upper], ["a", "z", lower], ...(digit ? [["0", "9", digit]] : [])];

/** Unicode's mathematical alphabets: ranges [first, last, start], and the letters that were encoded elsewhere before. */
export const ALPHABETS = {
  bf: { ranges: [...latin(0x1d400, 0x1d41a, 0x1d7ce), ["Α", "Ω", 0x1d6a8], ["α", "ω", 0x1d6c2]] },
  bb: { ranges: latin(0x1d538, 0x1d552, 0x1d7d8), holes: { C: "ℂ", H: "ℍ", N: "ℕ", P: "ℙ", Q: "ℚ", R: "ℝ", Z: "ℤ" } },
  cal: { ranges: latin(0x1d49c, 0x1d4b6), holes: { B: "ℬ", E: "ℰ", F: "ℱ", H: "ℋ", I: "ℐ", L: "ℒ", M: "ℳ", R: "ℛ", e: "ℯ", g: "ℊ", o: "ℴ" } },
  frak: { ranges: latin(0x1d504, 0x1d51e), holes: { C: "ℭ", H: "ℌ", I: "ℑ", R: "ℜ", Z: "ℨ" } },
  sf: { ranges: latin(0x1d5a0, 0x1d5ba, 0x1d7e2) },
  tt: { ranges: latin(0x1d670, 0x1d68a, 0x1d7f6) },
};
